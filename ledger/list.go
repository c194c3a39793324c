package ledger

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// Parked is a letter as people see it.
type Parked struct {
	ID          int64
	Object      string
	Match       string
	Table       string
	Key         string      // match value; empty where no record can be addressed
	Row         string      // primary key
	Also        []ParkedRow // those of other tables that the record is delivered from
	Property    string      // empty where the record as a whole is parked
	Owed        []string
	Category    string
	Reason      string
	Position    change.Position
	FirstSeen   time.Time
	LastSeen    time.Time
	Attempts    int
	Correlation string
}

// Filter selects letters. The zero value selects all.
type Filter struct {
	IDs      []int64
	Object   string
	Table    string
	Category string
	Key      string
	Property string
	// SeenBefore selects letters last seen before it.
	SeenBefore time.Time
	// After selects letters with a greater id: to read on after a page.
	After int64
	// Limit is the most to return; 0 means all.
	Limit int
}

// where writes the filter as a condition over letter l, target t, source s and
// property p, with its arguments.
func (f Filter) where() (string, []any) {
	var conditions []string
	var args []any
	add := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(condition, len(args)))
	}
	add("l.id > $%d", f.After)
	if f.IDs != nil {
		add("l.id = ANY ($%d)", f.IDs)
	}
	if f.Object != "" {
		add("t.object = $%d", f.Object)
	}
	if f.Table != "" {
		add("s.table_name = $%d", f.Table)
	}
	if f.Category != "" {
		add("l.category = $%d", f.Category)
	}
	if f.Key != "" {
		add("l.key = $%d", []byte(f.Key))
	}
	if f.Property != "" {
		add("p.name = $%d", f.Property)
	}
	if !f.SeenBefore.IsZero() {
		add("l.last_seen < $%d", f.SeenBefore)
	}
	return strings.Join(conditions, " AND "), args
}

const fromLetters = ` FROM letter l JOIN target t ON t.id = l.target JOIN source s ON s.id = l.source
	LEFT JOIN property p ON p.target = l.target AND p.id = l.property `

// Letters lists letters in order of id. It needs no Begin.
func (l *Ledger) Letters(ctx context.Context, f Filter) ([]Parked, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	where, args := f.where()
	limit := ""
	if f.Limit > 0 {
		limit = fmt.Sprintf(" LIMIT %d", f.Limit)
	}
	rows, _ := l.pool.Query(ctx, `SELECT l.id, t.object, t.match, s.table_name, l.key, l.row_key, coalesce(p.name, ''),
		ARRAY(SELECT q.name FROM property q WHERE q.target = l.target AND q.id = ANY (l.owed) ORDER BY q.name),
		l.category, l.reason, l.lsn::text, l.ordinal, l.first_seen, l.last_seen, l.attempts, l.correlation,
		ARRAY(SELECT o.table_name FROM letter_feeder r JOIN source o ON o.id = r.source WHERE r.letter = l.id AND r.source <> l.source ORDER BY r.source),
		ARRAY(SELECT r.row_key FROM letter_feeder r JOIN source o ON o.id = r.source WHERE r.letter = l.id AND r.source <> l.source ORDER BY r.source)`+
		fromLetters+"WHERE "+where+" ORDER BY l.id"+limit, args...)
	letters, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Parked, error) {
		var p Parked
		var key, rowKey []byte
		var lsn string
		var ordinal int32
		var tables []string
		var keys [][]byte
		err := row.Scan(&p.ID, &p.Object, &p.Match, &p.Table, &key, &rowKey, &p.Property, &p.Owed,
			&p.Category, &p.Reason, &lsn, &ordinal, &p.FirstSeen, &p.LastSeen, &p.Attempts, &p.Correlation, &tables, &keys)
		if err != nil {
			return p, err
		}
		p.Key, p.Row = string(key), string(rowKey)
		for i, table := range tables {
			p.Also = append(p.Also, ParkedRow{table, string(keys[i])})
		}
		p.Position.Ordinal = uint32(ordinal) //nolint:gosec // never negative
		p.Position.LSN, err = change.ParseLSN(lsn)
		return p, err
	})
	if err != nil {
		return nil, explain("list the parked records", err)
	}
	return letters, nil
}

// DropLetters removes letters and tells how many. What they owe is given up
// until the row changes again. It needs no Begin, and does not disturb a running
// instance.
func (l *Ledger) DropLetters(ctx context.Context, f Filter) (int64, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	where, args := f.where()
	tag, err := l.pool.Exec(ctx, "DELETE FROM letter WHERE id IN (SELECT l.id"+fromLetters+"WHERE "+where+")", args...)
	if err != nil {
		return 0, explain("drop parked records", err)
	}
	return tag.RowsAffected(), nil
}

// CountLetters counts the letters by category.
func (l *Ledger) CountLetters(ctx context.Context) (map[string]int64, error) {
	ctx, cancel := l.within(ctx)
	defer cancel()
	counts := map[string]int64{}
	var category string
	var n int64
	rows, _ := l.pool.Query(ctx, "SELECT category, count(*) FROM letter GROUP BY category")
	if _, err := pgx.ForEachRow(rows, []any{&category, &n}, func() error {
		counts[category] = n
		return nil
	}); err != nil {
		return nil, explain("count the parked records", err)
	}
	return counts, nil
}

// sayable makes a text one that the database can store: what others send may
// hold a zero byte, broken UTF-8 or a character that the encoding lacks, and a
// settle must not fail for that.
func (l *Ledger) sayable(s string) string {
	if l.ascii.Load() {
		var b strings.Builder
		for _, r := range s {
			if r > 0 && r < utf8.RuneSelf {
				b.WriteRune(r)
				continue
			}
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		return b.String()
	}
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
