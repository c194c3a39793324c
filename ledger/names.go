package ledger

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// names are the numbers under which targets, their properties and sources stand
// in the tables. They are given once and never taken back.
type names struct {
	mu      sync.RWMutex
	targets map[*change.Target]*targetNames
	sources map[*change.Source]int16
	tables  map[int16]string         // by the number of a source
	feeding map[int16]map[int16]bool // by target, its sources, past ones too
}

// targetNames are the numbers of one target. It never changes.
type targetNames struct {
	id    int16
	ids   []int32 // property id by slot
	order []int   // slots in ascending order of id
	slots []int   // slot by property id, -1 where mapped no longer
}

func (n *names) reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.targets = map[*change.Target]*targetNames{}
	n.sources = map[*change.Source]int16{}
	n.tables = map[int16]string{}
	n.feeding = map[int16]map[int16]bool{}
}

// loadFeeding finds out which targets have several sources.
func (n *names) loadFeeding(ctx context.Context, tx pgx.Tx) error {
	rows, _ := tx.Query(ctx, "SELECT target, id FROM source")
	var target, source int16
	_, err := pgx.ForEachRow(rows, []any{&target, &source}, func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.feed(target, source)
		return nil
	})
	return err
}

func (n *names) feed(target, source int16) {
	if n.feeding[target] == nil {
		n.feeding[target] = map[int16]bool{}
	}
	n.feeding[target][source] = true
}

// several reports whether more than one source feeds, or ever fed, the target.
func (n *names) several(target int16) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return len(n.feeding[target]) > 1
}

func (n *names) target(t *change.Target) *targetNames {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.targets[t]
}

func (n *names) source(s *change.Source) (int16, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	id, ok := n.sources[s]
	return id, ok
}

func (n *names) table(source int16) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.tables[source]
}

func (n *names) addTable(source int16, table string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tables[source] = table
}

// addTarget builds a target's numbers from the id of each property by name.
func (n *names) addTarget(t *change.Target, id int16, byName map[string]int32) {
	names := &targetNames{id: id, ids: make([]int32, len(t.Properties)), order: make([]int, len(t.Properties))}
	highest := int32(-1)
	for slot, name := range t.Properties {
		names.ids[slot], names.order[slot] = byName[name], slot
		highest = max(highest, byName[name])
	}
	slices.SortFunc(names.order, func(a, b int) int { return int(names.ids[a] - names.ids[b]) })
	names.slots = slices.Repeat([]int{-1}, int(highest)+1)
	for slot, id := range names.ids {
		names.slots[id] = slot
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.targets[t] = names
}

// internTarget finds or gives the numbers of a target in a transaction that
// holds the state row. The numbers are looked for first: an INSERT that runs into
// a conflict uses one up.
func (l *Ledger) internTarget(ctx context.Context, tx pgx.Tx, t *change.Target) error {
	id, err := internTargetRow(ctx, tx, t.Object, t.Match)
	if err != nil {
		return err
	}
	byName := make(map[string]int32, len(t.Properties))
	next := int32(0)
	rows, _ := tx.Query(ctx, "SELECT id, name FROM property WHERE target = $1", id)
	var property int32
	var name string
	_, err = pgx.ForEachRow(rows, []any{&property, &name}, func() error {
		byName[name] = property
		next = max(next, property+1)
		return nil
	})
	if err != nil {
		return err
	}
	var newNames []string
	var newIDs []int32
	for _, name := range t.Properties {
		if _, ok := byName[name]; !ok {
			byName[name] = next
			newNames, newIDs = append(newNames, name), append(newIDs, next)
			next++
		}
	}
	if len(newNames) > 0 {
		_, err := tx.Exec(ctx, "INSERT INTO property (target, id, name) SELECT $1, * FROM unnest($2::int4[], $3::text[])", id, newIDs, newNames)
		if err != nil {
			return err
		}
	}
	l.names.addTarget(t, id, byName)
	return l.nameTables(ctx, tx, id)
}

// nameTables reads which tables the sources of a target are of.
func (l *Ledger) nameTables(ctx context.Context, tx querier, target int16) error {
	rows, _ := tx.Query(ctx, "SELECT id, table_name FROM source WHERE target = $1", target)
	var id int16
	var table string
	_, err := pgx.ForEachRow(rows, []any{&id, &table}, func() error {
		l.names.addTable(id, table)
		return nil
	})
	return err
}

// querier is a transaction or the pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func internTargetRow(ctx context.Context, tx pgx.Tx, object, match string) (id int16, err error) {
	return findOrAdd(ctx, tx,
		"SELECT id FROM target WHERE object = $1 AND match = $2",
		"INSERT INTO target (object, match) VALUES ($1, $2) ON CONFLICT (object, match) DO UPDATE SET match = excluded.match RETURNING id",
		object, match)
}

func internSourceRow(ctx context.Context, tx pgx.Tx, target int16, table string) (id int16, err error) {
	return findOrAdd(ctx, tx,
		"SELECT id FROM source WHERE target = $1 AND table_name = $2",
		"INSERT INTO source (target, table_name) VALUES ($1, $2) ON CONFLICT (target, table_name) DO UPDATE SET table_name = excluded.table_name RETURNING id",
		target, table)
}

func findOrAdd(ctx context.Context, tx pgx.Tx, find, add string, args ...any) (id int16, err error) {
	err = tx.QueryRow(ctx, find, args...).Scan(&id)
	if err == pgx.ErrNoRows { //nolint:errorlint // as Scan documents it
		err = tx.QueryRow(ctx, add, args...).Scan(&id)
	}
	return id, err
}

// internSource gives a source its number before the first settle that names it.
func (l *Ledger) internSource(ctx context.Context, s *change.Source) (int16, error) {
	if id, ok := l.names.source(s); ok {
		return id, nil
	}
	target := l.names.target(s.Target)
	if target == nil {
		return 0, fmt.Errorf("target %s by %s was not given to Begin", s.Target.Object, s.Target.Match)
	}
	var id int16
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) (err error) {
		id, err = internSourceRow(ctx, tx, target.id, s.Table)
		return err
	})
	if err != nil {
		return 0, explain("remember the table "+s.Table, err)
	}
	l.names.mu.Lock()
	defer l.names.mu.Unlock()
	l.names.sources[s], l.names.tables[id] = id, s.Table
	l.names.feed(target.id, id)
	return id, nil
}
