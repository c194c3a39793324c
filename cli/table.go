package cli

import (
	"strings"
	"unicode/utf8"
)

// table lays cells out in columns. Cells are escaped; where it must fit a
// terminal the widest columns are cut and end in an ellipsis.
type table struct {
	header []string
	rows   [][]cell
	// numbers are the columns that are set to the right.
	numbers map[int]bool
}

// cell is the text of a cell and its colour.
type cell struct {
	text   string
	colour paint
}

// narrowest is how far a column may be cut.
const narrowest = 8

// gap stands between columns.
const gap = "  "

func newTable(header ...string) *table { return &table{header: header, numbers: map[int]bool{}} }

// right sets columns to the right.
func (t *table) right(columns ...int) *table {
	for _, c := range columns {
		t.numbers[c] = true
	}
	return t
}

// add appends a row of plain cells.
func (t *table) add(texts ...string) {
	row := make([]cell, len(texts))
	for i, s := range texts {
		row[i].text = s
	}
	t.addCells(row...)
}

// addCells appends a row.
func (t *table) addCells(row ...cell) {
	for i := range row {
		row[i].text = sayable(row[i].text)
	}
	t.rows = append(t.rows, row)
}

// print writes the table, each line after the indent.
func (t *table) print(p *printer, indent string) {
	widths := t.widths()
	if p.width > 0 {
		fit(widths, p.width-len(indent)-len(gap)*(len(widths)-1))
	}
	header := make([]cell, len(t.header))
	for i, h := range t.header {
		header[i] = cell{h, dim}
	}
	for _, row := range append([][]cell{header}, t.rows...) {
		var line strings.Builder
		line.WriteString(indent)
		for i, c := range row {
			text := cut(c.text, widths[i])
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if i > 0 {
				line.WriteString(gap)
			}
			switch {
			case t.numbers[i]:
				line.WriteString(pad + p.paint(c.colour, text))
			case i == len(row)-1:
				line.WriteString(p.paint(c.colour, text))
			default:
				line.WriteString(p.paint(c.colour, text) + pad)
			}
		}
		p.println(strings.TrimRight(line.String(), " "))
	}
}

// widths are those of the widest cell of each column.
func (t *table) widths() []int {
	widths := make([]int, len(t.header))
	for i, h := range t.header {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, row := range t.rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	return widths
}

// fit narrows the widest columns until they are no wider than room together, as
// far as that goes.
func fit(widths []int, room int) {
	for {
		sum, widest := 0, 0
		for i, w := range widths {
			sum += w
			if w > widths[widest] {
				widest = i
			}
		}
		if sum <= room || widths[widest] <= narrowest {
			return
		}
		widths[widest]--
	}
}

// cut shortens a text to so many characters.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	runes := []rune(s)
	return string(runes[:max(width-1, 0)]) + "…"
}
