package cli

import (
	"fmt"
	"strings"
	"time"
)

// gauge shows a person how far long work is, on a line of standard error that is
// written over. Where that is no terminal it says nothing.
type gauge struct {
	out   *printer
	now   func() time.Time
	what  string
	units [2]string // one, many
	total int64     // about so many; 0 where it is not known
	done  int64
	meter meter
	shown time.Time
}

// gaugeEvery is how often the line is written over.
const gaugeEvery = 200 * time.Millisecond

// gauge begins one. The caller ends it.
func (d *desk) gauge(what string, total int64, one, many string) *gauge {
	return &gauge{out: d.notes, now: d.now, what: what, total: total, units: [2]string{one, many}}
}

// add counts what was done.
func (t *gauge) add(n int) {
	t.done += int64(n)
	if t.out == nil || !t.out.terminal {
		return
	}
	now := t.now()
	rate := t.meter.rate(now, t.done)
	if now.Sub(t.shown) < gaugeEvery {
		return
	}
	t.shown = now
	line := bar(t.done, t.total) + sayable(t.what) + ": " + howFar(t.done, t.total, rate, t.units[0], t.units[1])
	t.out.overwrite(line)
}

// end wipes the line out.
func (t *gauge) end() {
	if !t.shown.IsZero() {
		t.out.printf("\r\x1b[K")
	}
}

// usualWidth is that of a terminal that does not tell its own.
const usualWidth = 80

// overwrite shows a line of a terminal in place of the last one.
func (p *printer) overwrite(line string) {
	width := p.width
	if width == 0 {
		width = usualWidth
	}
	p.printf("\r\x1b[K%s", cut(line, max(width-1, narrowest)))
}

// howFar says how much is done of about so much, at which rate, and what is left.
func howFar(done, total int64, rate float64, one, many string) string {
	text := plural(done, one, many)
	if total > 0 {
		text += fmt.Sprintf(" of about %s (%d %%)", thousands(max(total, done)), 100*done/max(total, done))
	}
	if rate > 0 {
		text += fmt.Sprintf(", %s %s/s", thousands(int64(rate)), many)
		if left := total - done; left > 0 {
			text += ", " + roughly(time.Duration(float64(left)/rate*float64(time.Second))) + " left"
		}
	}
	return text
}

// barWidth is how many characters the bar has.
const barWidth = 24

// bar is a picture of how far it is; empty where the end is not known.
func bar(done, total int64) string {
	if total <= 0 {
		return ""
	}
	full := int(barWidth * done / max(total, done, 1))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "] "
}

// meter measures a rate over the last while.
type meter struct{ seen []sample }

type sample struct {
	at   time.Time
	rows int64
}

// meterOver is how far back the rate is measured.
const meterOver = 10 * time.Second

// rate takes in a count and gives rows a second, zero before anything moved.
func (m *meter) rate(now time.Time, rows int64) float64 {
	m.seen = append(m.seen, sample{now, rows})
	for len(m.seen) > 2 && now.Sub(m.seen[1].at) >= meterOver {
		m.seen = m.seen[1:]
	}
	first := m.seen[0]
	if d := now.Sub(first.at).Seconds(); d > 0 && rows > first.rows {
		return float64(rows-first.rows) / d
	}
	return 0
}
