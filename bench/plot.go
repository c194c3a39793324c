package main

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// plot is a chart of horizontal bars.
type plot struct {
	name, title string
	bars        []bar
}

type bar struct {
	label, text string
	value       float64
}

// plotsOf chooses what to draw of a workload.
func plotsOf(s summarized) []plot {
	rate := plot{name: "rate", title: "rows per second"}
	cost := plot{name: "cpu", title: "CPU seconds per million rows"}
	memory := plot{name: "memory", title: "peak memory in MiB"}
	delay := plot{name: "latency", title: "milliseconds from commit to receipt"}
	for _, m := range s.consumers {
		if m.RowsPerSecond > 0 {
			rate.bars = append(rate.bars, bar{m.Consumer, thousands(m.RowsPerSecond), m.RowsPerSecond})
		}
		if m.CPU > 0 && m.Rows > 0 {
			cost.bars = append(cost.bars, bar{m.Consumer, fmt.Sprintf("%.1f", m.perMillion(m.CPU)), m.perMillion(m.CPU)})
		}
		if m.PeakRSS > 0 {
			memory.bars = append(memory.bars, bar{m.Consumer, fmt.Sprint(m.PeakRSS >> 20), float64(m.PeakRSS >> 20)})
		}
		if l := m.Latency; l != nil {
			for _, p := range []struct {
				name string
				ms   float64
			}{{"p50", l.P50}, {"p90", l.P90}, {"p99", l.P99}} {
				delay.bars = append(delay.bars, bar{m.Consumer + " " + p.name, fmt.Sprintf("%.2f", p.ms), p.ms})
			}
		}
	}
	if len(delay.bars) > 0 {
		return []plot{delay, memory}
	}
	return []plot{rate, cost, memory}
}

// svg draws the bars in a colour that is readable on light and on dark pages.
func (p plot) svg() string {
	const (
		width, left, right = 640, 150, 80
		line, top          = 26, 34
	)
	most := 0.0
	for _, b := range p.bars {
		most = max(most, b.value)
	}
	var s strings.Builder
	height := top + line*len(p.bars) + 6
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="13" fill="#808080">`+"\n", width, height)
	fmt.Fprintf(&s, `<text x="%d" y="20" font-weight="bold">%s</text>`+"\n", left, escape(p.title))
	for i, b := range p.bars {
		y, long := top+line*i, 1.0
		if most > 0 {
			long = max(1, b.value/most*(width-left-right))
		}
		color := "#8aa4c8"
		if strings.HasPrefix(b.label, whole) {
			color = "#e07a3f"
		}
		fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.1f" height="18" fill="%s"/><text x="%.1f" y="%d">%s</text>`+"\n",
			left-8, y+14, escape(b.label), left, y, long, color, left+long+6, y+14, escape(b.text))
	}
	s.WriteString("</svg>\n")
	return s.String()
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes all
	return b.String()
}
