package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgcrm/pgcrm/ledger"
)

// letter is a parked record as `dlq list -o json` prints it.
type letter struct {
	ID     int64  `json:"id"`
	Object string `json:"object"`
	Match  string `json:"match"`
	Table  string `json:"table"`
	// Key is the match value; of a row without one, its primary key.
	Key           string    `json:"key"`
	Row           string    `json:"row"`
	Property      string    `json:"property,omitempty"`
	Owed          []string  `json:"owed,omitempty"`
	Category      string    `json:"category"`
	Reason        string    `json:"reason"`
	Position      string    `json:"position"`
	FirstSeen     time.Time `json:"first_seen"`
	LastSeen      time.Time `json:"last_seen"`
	Attempts      int       `json:"attempts"`
	CorrelationID string    `json:"correlation_id"`
}

// dropped is what dlq drop -o json prints.
type dropped struct {
	Dropped int64 `json:"dropped"`
}

func lettersOf(parked []ledger.Parked) []letter {
	letters := make([]letter, len(parked))
	for i, p := range parked {
		letters[i] = letter{
			ID: p.ID, Object: p.Object, Match: p.Match, Table: p.Table, Key: p.Key, Row: p.Row, Property: p.Property, Owed: p.Owed,
			Category: p.Category, Reason: p.Reason, Position: p.Position.String(),
			FirstSeen: p.FirstSeen.UTC(), LastSeen: p.LastSeen.UTC(), Attempts: p.Attempts, CorrelationID: p.Correlation,
		}
		if p.Key == "" {
			letters[i].Key = p.Row
		}
	}
	return letters
}

func (d *desk) letters(ctx context.Context, filter ledger.Filter) ([]ledger.Parked, error) {
	book, err := d.ledger(ctx)
	if err != nil {
		return nil, err
	}
	defer book.Close()
	return book.Letters(ctx, filter)
}

func (d *desk) printLetters(letters []ledger.Parked) {
	if len(letters) == 0 {
		d.out.println("nothing is parked")
		return
	}
	t := newTable("ID", "TABLE", "ROW", "OBJECT", "PROPERTY", "CATEGORY", "SEEN", "REASON").right(0)
	for _, l := range letters {
		property := l.Property
		if property == "" {
			property = "(record)"
		}
		t.addCells(cell{text: strconv.FormatInt(l.ID, 10)}, cell{text: l.Table}, cell{text: l.Row}, cell{text: l.Object}, cell{text: property},
			cell{l.Category, yellow}, cell{text: ago(d.now(), l.LastSeen)}, cell{text: l.Reason})
	}
	t.print(d.out, "")
}

func (d *desk) showLetters(letters []ledger.Parked) {
	for i, l := range letters {
		if i > 0 {
			d.out.println()
		}
		record := fmt.Sprintf("%s with %s %s", l.Object, l.Match, l.Key)
		if l.Key == "" {
			record = l.Object + ", no record can be addressed"
		}
		what := l.Property
		if what == "" {
			what = "the record as a whole"
			if len(l.Owed) > 0 {
				what += ": " + strings.Join(l.Owed, ", ")
			}
		}
		lines := [][2]string{
			{"id", strconv.FormatInt(l.ID, 10)},
			{"row", l.Table + " " + l.Row},
			{"record", record},
			{"parked", what},
			{"category", l.Category},
			{"reason", l.Reason},
			{"position", l.Position.String()},
			{"first seen", stamp(l.FirstSeen) + ", " + ago(d.now(), l.FirstSeen)},
			{"last seen", stamp(l.LastSeen) + ", " + ago(d.now(), l.LastSeen)},
			{"attempts", strconv.Itoa(l.Attempts)},
		}
		if l.Correlation != "" {
			lines = append(lines, [2]string{"correlation id", l.Correlation + ", for HubSpot's support"})
		}
		d.out.fields(lines)
	}
}

// fields prints names and values, one a line.
func (p *printer) fields(lines [][2]string) {
	width := 0
	for _, l := range lines {
		width = max(width, len(l[0]))
	}
	for _, l := range lines {
		p.printf("%s  %s\n", p.paint(dim, l[0]+strings.Repeat(" ", width-len(l[0]))), sayable(l[1]))
	}
}

// stamp is a moment for people, in UTC.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// missingLetters complains of ids that are not there.
func missingLetters(ids []int64, letters []ledger.Parked) error {
	var missing []string
	for _, id := range ids {
		if !slices.ContainsFunc(letters, func(l ledger.Parked) bool { return l.ID == id }) {
			missing = append(missing, strconv.FormatInt(id, 10))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("not parked (any more): %s", strings.Join(missing, ", "))
}
