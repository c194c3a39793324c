package ledger

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/dchest/siphash"
	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// Letter is what could not be delivered: one property of a record, or the record
// as a whole.
type Letter struct {
	Source *change.Source
	// Key is the match property's value; empty where no record can be addressed,
	// and then the letter is filed under the row.
	Key string
	Row string // primary key
	// Also are the rows of other tables that the version is of.
	Also []Feeder
	Slot int // WholeRecord: the record as a whole
	// Owed are the slots that a letter about the whole record owes. Without any,
	// the next version that delivers something closes the letter.
	Owed        []int
	Category    string
	Reason      string
	Position    change.Position
	Correlation string // HubSpot's correlation id
	Attempts    int    // calls made for this version
	At          time.Time
}

// WholeRecord is the slot of a letter about no single property.
const WholeRecord = -1

// letterRow is a letter with its numbers.
type letterRow struct {
	*Letter
	target, source, scope int16
	name, rowName         string
	property              int32
	owed                  []int32
}

// payment closes letters: those of a record or of a row, at or before a
// position, about some properties or all.
type payment struct {
	target, source int16
	name, rowName  string
	position       change.Position
	first          change.Position // for letters that only the row connects with it
	all            bool
	// transfer is set where the properties are not delivered but in a newer
	// letter of their own: a letter about the whole record owes them no longer,
	// and one about the same of the row, from when it had another key, is over.
	transfer   bool
	properties []int32
}

// gatherLetters gives letters their numbers, and keeps one of several about the
// same thing: the newest, which owes what all of them do.
func (l *Ledger) gatherLetters(ctx context.Context, letters []Letter) ([]letterRow, error) {
	type about struct {
		target, scope int16
		name          string
		property      int32
	}
	var rows []letterRow
	at := map[about]int{}
	for i := range letters {
		letter := &letters[i]
		source, err := l.internSource(ctx, letter.Source)
		if err != nil {
			return nil, err
		}
		target := l.names.target(letter.Source.Target)
		row := letterRow{
			Letter: letter, target: target.id, source: source,
			name: address(letter.Key), rowName: address(letter.Row), property: WholeRecord,
		}
		if letter.Key == "" {
			row.scope, row.name = source, row.rowName
		}
		if letter.Slot != WholeRecord {
			row.property = target.ids[letter.Slot]
		}
		for _, slot := range letter.Owed {
			row.owed = append(row.owed, target.ids[slot])
		}
		key := about{row.target, row.scope, row.name, row.property}
		if j, ok := at[key]; ok {
			owed := append(rows[j].owed, row.owed...)
			slices.Sort(owed)
			owed = slices.Compact(owed)
			if rows[j].Position.Before(row.Position) {
				rows[j] = row
			}
			rows[j].owed = owed
			continue
		}
		at[key] = len(rows)
		rows = append(rows, row)
	}
	return rows, nil
}

// payments says which letters the gathered deliveries, and the letters opened
// with them, may close. It leaves out what the filter knows to have none.
func (l *Ledger) payments(letters []letterRow) []payment {
	if len(letters) == 0 && !l.letters.any() {
		return nil
	}
	// Before the COMMIT: one without an answer may have happened.
	l.letters.add(letters)
	var paid []payment
	for _, r := range l.scratch.records {
		if len(r.Delivered) == 0 && !r.CloseAll {
			continue
		}
		p := payment{target: r.target.id, source: r.source, name: r.address, rowName: address(r.Row), position: r.Accounted, first: r.Accounted, all: r.CloseAll}
		if !r.CloseAll && r.First != (change.Position{}) {
			p.first = r.First
		}
		if !l.letters.may(p.target, 0, p.name) && !l.letters.may(p.target, p.source, p.rowName) {
			continue
		}
		for _, slot := range r.Delivered {
			p.properties = append(p.properties, r.target.ids[slot])
		}
		paid = append(paid, p)
	}
	for _, r := range letters {
		if r.property != WholeRecord {
			paid = append(paid, payment{
				target: r.target, source: r.source, name: address(r.Key), rowName: r.rowName,
				position: r.Position, first: r.Position, transfer: true, properties: []int32{r.property},
			})
		}
	}
	return paid
}

// An older letter never takes the place of a newer one, but what it owes is
// owed still.
var openStatement = statement{"open", `INSERT INTO letter AS l
		(target, scope, name, property, source, key, row_key, row_name, lsn, ordinal, owed, category, reason, correlation, attempts, first_seen, last_seen)
	SELECT o.target, o.scope, o.name, o.property, o.source, o.key, o.row_key, o.row_name, o.lsn, o.ordinal, o.owed::int4[],
		o.category, o.reason, o.correlation, o.attempts, o.at, o.at
	FROM unnest($1::int2[], $2::int2[], $3::bytea[], $4::int4[], $5::int2[], $6::bytea[], $7::bytea[], $8::bytea[], $9::pg_lsn[], $10::int4[],
		$11::text[], $12::text[], $13::text[], $14::text[], $15::int4[], $16::timestamptz[])
		AS o(target, scope, name, property, source, key, row_key, row_name, lsn, ordinal, owed, category, reason, correlation, attempts, at)
	ON CONFLICT (target, scope, name, property) DO UPDATE SET
		owed = ARRAY(SELECT unnest(l.owed) UNION SELECT unnest(excluded.owed) ORDER BY 1),
		attempts = CASE WHEN (l.lsn, l.ordinal) = (excluded.lsn, excluded.ordinal) THEN GREATEST(l.attempts, excluded.attempts)
			WHEN (l.lsn, l.ordinal) < (excluded.lsn, excluded.ordinal) THEN l.attempts + excluded.attempts ELSE l.attempts END,
		(source, key, row_key, row_name, lsn, ordinal, category, reason, correlation, last_seen) = (
			SELECT n.* FROM (SELECT excluded.source, excluded.key, excluded.row_key, excluded.row_name, excluded.lsn, excluded.ordinal,
				excluded.category, excluded.reason, excluded.correlation, GREATEST(l.last_seen, excluded.last_seen)) AS n
			WHERE (l.lsn, l.ordinal) <= (excluded.lsn, excluded.ordinal)
			UNION ALL
			SELECT o.* FROM (SELECT l.source, l.key, l.row_key, l.row_name, l.lsn, l.ordinal, l.category, l.reason, l.correlation, l.last_seen) AS o
			WHERE (l.lsn, l.ordinal) > (excluded.lsn, excluded.ordinal))`}

func (l *Ledger) openLetters(t *transaction, letters []letterRow) {
	if len(letters) == 0 {
		return
	}
	var c [16]array
	for i, oid := range []uint32{
		oidInt2, oidInt2, oidBytea, oidInt4, oidInt2, oidBytea, oidBytea, oidBytea, oidLSN, oidInt4,
		oidText, oidText, oidText, oidText, oidInt4, oidTimestamptz,
	} {
		c[i].reset(oid)
	}
	for _, r := range letters {
		lsn, ordinal := position(r.Position)
		c[0].addInt2(r.target)
		c[1].addInt2(r.scope)
		c[2].addString(r.name)
		c[3].addInt4(r.property)
		c[4].addInt2(r.source)
		c[5].addString(r.Key)
		c[6].addString(r.Row)
		c[7].addString(r.rowName)
		c[8].addUint64(lsn)
		c[9].addInt4(ordinal)
		c[10].addInts(r.owed)
		c[11].addString(l.sayable(r.Category))
		c[12].addString(l.sayable(r.Reason))
		c[13].addString(l.sayable(r.Correlation))
		c[14].addInt4(int32(r.Attempts)) //nolint:gosec // a count of calls
		c[15].addTime(r.At)
	}
	t.add(openStatement, finish(c[:])...)
}

// A payment finds letters by the record and by the row: a row may have another
// record by now. What several payments say of a letter is put together first.
var closeStatement = statement{"close", `WITH paid AS (
		SELECT * FROM unnest($1::int2[], $2::int2[], $3::bytea[], $4::bytea[], $5::pg_lsn[], $6::int4[], $7::bool[], $8::bool[], $9::text[], $10::pg_lsn[], $11::int4[])
			AS p(target, source, name, row_name, lsn, ordinal, everything, transfer, properties, first_lsn, first_ordinal)),
	hit AS (
		SELECT l.id, p.lsn, p.ordinal, p.everything, p.transfer, p.properties, l.property < 0 OR NOT p.transfer AS meant
		FROM paid p JOIN letter l ON l.target = p.target AND l.scope = 0 AND l.name = p.name AND p.name <> ''
		UNION ALL
		SELECT l.id, p.first_lsn, p.first_ordinal, p.everything, p.transfer, p.properties, l.property < 0 OR NOT p.transfer OR p.name <> '' AND l.name <> p.name
		FROM paid p JOIN letter l ON l.source = p.source AND l.row_name = p.row_name AND p.row_name <> ''),
	total AS (
		SELECT l.id, bool_or(h.everything) AS everything, bool_or(NOT h.transfer) AS delivered,
			COALESCE(array_agg(h.property) FILTER (WHERE h.property IS NOT NULL), '{}') AS properties
		FROM (SELECT hit.*, q.property FROM hit LEFT JOIN LATERAL unnest(hit.properties::int4[]) AS q(property) ON true) h
		JOIN letter l ON l.id = h.id
		WHERE (l.lsn, l.ordinal) <= (h.lsn, h.ordinal) AND h.meant
		GROUP BY l.id),
	gone AS (
		DELETE FROM letter l USING total t WHERE l.id = t.id AND (t.everything OR CASE
			WHEN l.property >= 0 THEN l.property = ANY (t.properties)
			WHEN l.owed = '{}' THEN t.delivered
			ELSE l.owed <@ t.properties END))
	UPDATE letter l SET owed = ARRAY(SELECT unnest(l.owed) EXCEPT SELECT unnest(t.properties) ORDER BY 1)
	FROM total t WHERE l.id = t.id AND l.property < 0 AND NOT t.everything AND l.owed && t.properties AND NOT l.owed <@ t.properties`}

func closeLetters(t *transaction, paid []payment) {
	if len(paid) == 0 {
		return
	}
	var c [11]array
	for i, oid := range []uint32{oidInt2, oidInt2, oidBytea, oidBytea, oidLSN, oidInt4, oidBool, oidBool, oidText, oidLSN, oidInt4} {
		c[i].reset(oid)
	}
	for _, p := range paid {
		lsn, ordinal := position(p.position)
		c[0].addInt2(p.target)
		c[1].addInt2(p.source)
		c[2].addString(p.name)
		c[3].addString(p.rowName)
		c[4].addUint64(lsn)
		c[5].addInt4(ordinal)
		c[6].addBool(p.all)
		c[7].addBool(p.transfer)
		c[8].addInts(p.properties)
		lsn, ordinal = position(p.first)
		c[9].addUint64(lsn)
		c[10].addInt4(ordinal)
	}
	t.add(closeStatement, finish(c[:])...)
}

func finish(columns []array) [][]byte {
	params := make([][]byte, len(columns))
	for i := range columns {
		params[i] = columns[i].bytes()
	}
	return params
}

// letterFilter knows of which records there may be letters, so that settles need
// not ask. It may know too much, as after a letter was closed, but never too
// little: only the running instance opens letters. Beyond filterSize it gives up
// and lets every settle ask.
type letterFilter struct {
	mu    sync.RWMutex
	known map[uint64]struct{} // nil: ask always
}

const filterSize = 1 << 16

func (f *letterFilter) load(ctx context.Context, tx pgx.Tx) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := map[uint64]struct{}{}
	rows, _ := tx.Query(ctx, "SELECT target, scope, name, source, row_name FROM letter LIMIT $1", filterSize/2+1)
	n := 0
	var target, scope, source int16
	var name, row []byte
	_, err := pgx.ForEachRow(rows, []any{&target, &scope, &name, &source, &row}, func() error {
		n++
		known[filterKey(target, scope, string(name))] = struct{}{}
		known[filterKey(target, source, string(row))] = struct{}{}
		return nil
	})
	if n > filterSize/2 {
		known = nil
	}
	f.known = known
	return err
}

func (f *letterFilter) add(letters []letterRow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range letters {
		if f.known == nil {
			return
		}
		f.known[filterKey(r.target, r.scope, r.name)] = struct{}{}
		f.known[filterKey(r.target, r.source, r.rowName)] = struct{}{}
		if len(f.known) > filterSize {
			f.known = nil
		}
	}
}

func (f *letterFilter) any() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.known == nil || len(f.known) > 0
}

func (f *letterFilter) may(target, scope int16, name string) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.known == nil {
		return true
	}
	_, ok := f.known[filterKey(target, scope, name)]
	return ok
}

// filterKey need not resist anyone: a collision costs a question.
func filterKey(target, scope int16, name string) uint64 {
	return siphash.Hash(uint64(uint16(target)), uint64(uint16(scope)), []byte(name)) //nolint:gosec // the bits
}

// HasLetters reports whether there may be any letter.
func (l *Ledger) HasLetters() bool { return l.letters.any() }
