package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	var all []time.Duration
	for i := 100; i > 0; i-- {
		all = append(all, time.Duration(i)*time.Millisecond)
	}
	if got := *percentiles(all); got != (latency{P50: 51, P90: 91, P99: 100, Max: 100, N: 100}) {
		t.Errorf("%+v", got)
	}
	if percentiles(nil) != nil {
		t.Error("percentiles of nothing")
	}
}

func TestThePageHasMediansAndRatiosOfTheSameRun(t *testing.T) {
	dir := t.TempDir()
	for rep, rates := range [][2]float64{{100, 50}, {200, 300}, {400, 120}} {
		r := result{Workload: "a", Title: "some <rows>", Repetition: rep + 1, Scale: 1, Rows: 1000, Versions: map[string]string{"postgres": "15"}, Consumers: []measurement{
			{Consumer: recvlogical, Rows: 1000, RowsPerSecond: rates[0], CPU: 1, PeakRSS: 5 << 20},
			{Consumer: whole, Rows: 1000, RowsPerSecond: rates[1], CPU: 2, PeakRSS: int64(rep+1) << 20, Calls: 10, Records: 995},
		}}
		if err := r.write(filepath.Join(dir, "results")); err != nil {
			t.Fatal(err)
		}
	}
	all, err := readResults(filepath.Join(dir, "results"))
	if err != nil || len(all) != 3 {
		t.Fatal(len(all), err)
	}
	page := filepath.Join(dir, "page.md")
	if err := writePage(page, all); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	// The ratios are 0.5, 1.5 and 0.3; that of the medians would be 0.6.
	for _, want := range []string{
		"| pg_recvlogical | 3 | 200 | 1.00 | 1000.0 |  | 5 |",
		"| pgcrm | 3 | 120 | 0.50 | 2000.0 |  | 3 | 10 | 99.5 |",
		"(page/a-rate.svg)",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	for _, name := range []string{"a-rate.svg", "a-cpu.svg", "a-memory.svg"} {
		svg, err := os.Open(filepath.Join(dir, "page", name))
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(svg); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		svg.Close()
	}
}

func TestWorkloadsAreChosenByLetter(t *testing.T) {
	chosen, err := choose("g, a")
	if err != nil || len(chosen) != 2 || chosen[0].letter != "g" || chosen[1].letter != "a" {
		t.Errorf("%v %v", chosen, err)
	}
	if _, err := choose("a,x"); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Error(err)
	}
	if w := chosen[1].scaled(0.001); w.rows != 1000 || w.before != 0 {
		t.Errorf("%d %d", w.rows, w.before)
	}
}
