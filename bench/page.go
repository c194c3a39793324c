package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// summary is the median of a consumer's repetitions of a workload.
type summary struct {
	measurement
	n int
	// ratio to the workload's first consumer, the reference.
	ratio float64
}

type summarized struct {
	letter, title string
	scale         float64
	consumers     []summary
}

func summarize(all []result) []summarized {
	byLetter := map[string][]result{}
	for _, r := range all {
		byLetter[r.Workload] = append(byLetter[r.Workload], r)
	}
	var out []summarized
	for _, letter := range slices.Sorted(maps.Keys(byLetter)) {
		runs := byLetter[letter]
		s := summarized{letter: letter, title: runs[0].Title, scale: runs[0].Scale}
		for i, first := range runs[0].Consumers {
			var same []measurement
			var ratios []float64
			for _, r := range runs {
				if i < len(r.Consumers) && r.Consumers[i].Consumer == first.Consumer {
					same = append(same, r.Consumers[i])
					if ref := r.Consumers[0].RowsPerSecond; ref > 0 {
						ratios = append(ratios, r.Consumers[i].RowsPerSecond/ref)
					}
				}
			}
			s.consumers = append(s.consumers, summary{measurement: medians(same), n: len(same), ratio: median(ratios)})
		}
		out = append(out, s)
	}
	return out
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	if half := len(all) / 2; len(all)%2 == 0 {
		return (all[half-1] + all[half]) / 2
	}
	return all[len(all)/2]
}

// medians takes the median of each figure by itself; of memory the highest.
func medians(same []measurement) measurement {
	of := func(figure func(m measurement) float64) float64 {
		var all []float64
		for _, m := range same {
			all = append(all, figure(m))
		}
		return median(all)
	}
	m := same[0]
	m.Seconds = of(func(m measurement) float64 { return m.Seconds })
	m.RowsPerSecond = of(func(m measurement) float64 { return m.RowsPerSecond })
	m.CPU = of(func(m measurement) float64 { return m.CPU })
	m.ServerCPU = of(func(m measurement) float64 { return m.ServerCPU })
	m.Allocs = int64(of(func(m measurement) float64 { return float64(m.Allocs) }))
	m.AllocB = int64(of(func(m measurement) float64 { return float64(m.AllocB) }))
	m.Calls = int(of(func(m measurement) float64 { return float64(m.Calls) }))
	m.Records = int64(of(func(m measurement) float64 { return float64(m.Records) }))
	for _, other := range same {
		m.PeakRSS = max(m.PeakRSS, other.PeakRSS)
	}
	if m.Latency != nil {
		quantile := func(q func(l latency) float64) float64 {
			return of(func(m measurement) float64 {
				if m.Latency == nil {
					return 0
				}
				return q(*m.Latency)
			})
		}
		m.Latency = &latency{
			P50: quantile(func(l latency) float64 { return l.P50 }), P90: quantile(func(l latency) float64 { return l.P90 }),
			P99: quantile(func(l latency) float64 { return l.P99 }), Max: quantile(func(l latency) float64 { return l.Max }), N: m.Latency.N,
		}
	}
	return m
}

// notesName holds what a person has to say about the figures; it stands in the
// page as it is.
const notesName = "notes.md"

// writePage writes the page and, beside it, its plots.
func writePage(page string, all []result) error {
	plots := strings.TrimSuffix(page, filepath.Ext(page))
	if err := os.MkdirAll(plots, 0o750); err != nil {
		return err
	}
	var b strings.Builder
	v := all[len(all)-1].Versions
	fmt.Fprintf(&b, `# Benchmarks

<!-- Made by make bench from bench/results; words of one's own go into bench/notes.md. -->

Measured %s with %s on Postgres %s, %s, %s cores of %s, Linux %s. Server, simulator, pgcrm and the measuring program share these
cores. Medians of the repetitions, memory the highest of them; a ratio is to the first line of the table within the same repetition. CPU is in
seconds per million rows. How it is done: [bench/README.md](../bench/README.md).

`, all[len(all)-1].At.Format("2006-01-02"), v["pgcrm"], v["postgres"], v["go"], v["cpus"], v["cpu"], v["kernel"])
	notes, err := os.ReadFile(filepath.Join("bench", notesName))
	if err == nil {
		b.Write(notes)
		b.WriteByte('\n')
	}
	for _, s := range summarize(all) {
		fmt.Fprintf(&b, "## %s: %s\n\n", s.letter, s.title)
		if s.scale != 1 {
			fmt.Fprintf(&b, "At %g of these rows.\n\n", s.scale)
		}
		b.WriteString("| | n | rows/s | ratio | CPU | walsender CPU | peak MiB | calls | records a call | p50 / p90 / p99 ms |\n|---|---|---|---|---|---|---|---|---|---|\n")
		for _, m := range s.consumers {
			b.WriteString(row(m))
		}
		for _, p := range plotsOf(s) {
			name := fmt.Sprintf("%s-%s.svg", s.letter, p.name)
			if err := os.WriteFile(filepath.Join(plots, name), []byte(p.svg()), 0o600); err != nil {
				return err
			}
			fmt.Fprintf(&b, "\n![%s](%s/%s)\n", p.title, filepath.Base(plots), name)
		}
		b.WriteByte('\n')
	}
	return os.WriteFile(page, []byte(b.String()), 0o600)
}

func row(m summary) string {
	cell := func(there bool, format string, args ...any) string {
		if !there {
			return ""
		}
		return fmt.Sprintf(format, args...)
	}
	l := m.Latency
	if l == nil {
		l = &latency{}
	}
	cells := []string{
		m.Consumer, fmt.Sprint(m.n), cell(m.RowsPerSecond > 0, "%s", thousands(m.RowsPerSecond)), cell(m.ratio > 0, "%.2f", m.ratio),
		cell(m.CPU > 0 && m.Rows > 0, "%.1f", m.perMillion(m.CPU)) + cell(m.Rows == 0, "%.1f %% of a core", 100*m.CPU/max(m.Seconds, 1)),
		cell(m.ServerCPU > 0, "%.1f", m.perMillion(m.ServerCPU)), cell(m.PeakRSS > 0, "%d", m.PeakRSS>>20),
		cell(m.Calls > 0, "%s", thousands(float64(m.Calls))), cell(m.Calls > 0, "%.1f", float64(m.Records)/float64(max(m.Calls, 1))),
		cell(l.N > 0, "%.2f / %.2f / %.2f", l.P50, l.P90, l.P99),
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// thousands writes 1234567 as 1,234,567.
func thousands(f float64) string {
	s := fmt.Sprintf("%.0f", f)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
