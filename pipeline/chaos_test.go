package pipeline_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
)

var (
	chaosSeed  = flag.Uint64("chaos.seed", 0, "run this seed alone, and print what happened")
	chaosRuns  = flag.Int("chaos.runs", 300, "how many seeds to run")
	chaosFirst = flag.Uint64("chaos.first", 0, "the first seed; 0 draws one")
	chaosFor   = flag.Duration("chaos.for", 0, "go on for this long instead")
)

// TestCrashAndReplay runs random transactions through the pipeline while
// processes are killed, restarted with other buffers, cut off and overtaken,
// calls fail and answers are lost. It checks at every step that no checkpoint
// passes an unaccounted change and no older value goes out after a newer one, and
// in the end that the CRM is f(database), but for what is in a letter.
//
// A failed seed is run again, with its story, by -chaos.seed.
func TestCrashAndReplay(t *testing.T) {
	if *chaosSeed != 0 {
		for range 100 { // the scheduler has a say, too
			if faults, story := chaos(t, *chaosSeed, true); len(faults) > 0 {
				t.Fatalf("%s\n%s", strings.Join(story, "\n"), strings.Join(faults, "\n"))
			}
		}
		return
	}
	first := *chaosFirst
	if first == 0 {
		first = uint64(time.Now().UnixNano() & 0xffffffff)
	}
	began, failed := time.Now(), 0
	runs := 0
	for ; runs < *chaosRuns || *chaosFor > 0; runs++ {
		if *chaosFor > 0 && time.Since(began) > *chaosFor {
			break
		}
		seed := first + uint64(runs)
		if faults, _ := chaos(t, seed, false); len(faults) > 0 {
			t.Errorf("seed %d: run it with\n\tgo test ./pipeline -run TestCrashAndReplay -chaos.seed %d\n%s", seed, seed, strings.Join(faults, "\n"))
			if failed++; failed == 5 {
				break
			}
		}
	}
	t.Logf("%d seeds from %d in %v", runs, first, time.Since(began).Round(time.Millisecond))
}

// chaos runs one seed.
func chaos(t *testing.T, seed uint64, story bool) (faults, lines []string) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriver(seed)
		d.w.trace.off = !story
		d.run()
		faults, lines = d.w.faults, d.w.trace.lines
	})
	return faults, lines
}

// driver plays the application, the operator and the weather.
type driver struct {
	w      *world
	r      *rand.Rand
	plan   plan
	procs  []*process
	names  int
	serial int
	open   []uint32 // transactions that were begun
}

// plan is what a seed has in store.
type plan struct {
	steps    int
	rows     int
	alphabet int // distinct values; 0 for no value twice
	refusals float64
	nulls    float64
	renames  bool
	badKeys  bool
	deletes  bool
	backfill bool
	events   float64 // kills and other blows per step
	buffers  []int
	shape    shape
}

func newDriver(seed uint64) *driver {
	r := rand.New(rand.NewPCG(seed, 1))
	pick := func(p float64) bool { return r.Float64() < p }
	tr := traits{
		seed:   seed,
		tables: 1 + r.IntN(4)/3,
		policy: []change.Missing{change.Park, change.Create, change.Skip}[r.IntN(3)],
		full:   pick(0.4),
		step:   []int{200, 64 << 10, 3 << 20, 12 << 20}[r.IntN(4)],
		delay:  []time.Duration{time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond}[r.IntN(3)],
	}
	if pick(0.8) {
		tr.lease = 3 * time.Second
	}
	if pick(0.4) {
		tr.invisible = 0.5
	}
	if pick(0.4) {
		tr.netFaults = 0.05
	}
	if pick(0.6) {
		tr.crmFaults = 0.2
	}
	p := plan{
		steps:    20 + r.IntN(60),
		rows:     1 + r.IntN(6),
		alphabet: []int{0, 2, 3}[r.IntN(3)],
		deletes:  pick(0.3),
		backfill: pick(0.5),
		events:   []float64{0, 0.05, 0.15}[r.IntN(3)],
		buffers:  [][]int{{1 << 20}, {1 << 20, 900}, {450, 900, 1400, 4000}}[r.IntN(3)],
		shape: shape{
			batch: 1 + r.IntN(4), inFlight: 1 + r.IntN(3), chunk: 1 + r.IntN(3),
			gather: []time.Duration{0, 0, 500 * time.Millisecond}[r.IntN(3)],
		},
	}
	p.renames, p.badKeys = tr.full && pick(0.5), pick(0.2)
	if pick(0.5) {
		p.refusals = 0.15
	}
	if pick(0.6) {
		p.nulls = 0.2
	}
	if p.badKeys {
		// What a row says while it addresses no record is in no redo: after a crash
		// an older value of the record may be sent over one that was read again.
		p.events = 0
	}
	p.shape.backfill = p.backfill
	if pick(0.4) {
		above := int64(r.IntN(3))
		p.shape.hold = &above
	}
	return &driver{w: newWorld(tr), r: r, plan: p}
}

func (d *driver) pick(p float64) bool { return d.r.Float64() < p }

func (d *driver) upTo(limit time.Duration) time.Duration {
	return time.Duration(d.r.Int64N(int64(limit)) + 1)
}

func (d *driver) run() {
	w := d.w
	w.trace.add("seed %d: %+v %+v", w.seed, w.traits, d.plan)
	w.mu.Lock()
	d.furnish()
	w.mu.Unlock()
	d.startOne()
	for range d.plan.steps {
		time.Sleep(d.upTo([]time.Duration{time.Millisecond, 50 * time.Millisecond, time.Second}[d.r.IntN(3)]))
		if d.plan.shape.hold != nil && d.pick(0.05) {
			w.mu.Lock()
			w.state.resume()
			w.mu.Unlock()
		}
		if d.pick(d.plan.events) {
			d.blow()
		} else {
			w.mu.Lock()
			d.transaction()
			w.mu.Unlock()
		}
	}
	d.settle()
}

// furnish makes the world as it was before pgcrm came.
func (d *driver) furnish() {
	for table := range d.w.tables {
		for id := range d.plan.rows {
			key := "k" + strconv.Itoa(id)
			if d.plan.backfill && d.pick(0.7) {
				rec := d.w.history.of(table, key)
				d.w.pg.exists(row{id: rowID{table, id}, key: key, cells: [2]cell{d.cell(rec, 0), d.cell(rec, 1)}})
			}
			if d.pick(0.85) {
				rec := d.w.history.of(table, key)
				rec.exists, rec.key, rec.before = true, key, [2]string{"theirs a", "theirs b"}
				rec.values = rec.before
				d.w.crm.byKey[recordKey{table, key}] = rec
			}
		}
	}
}

// cell draws a value. Of a record that may be renamed, the first property always
// tells which record it is.
func (d *driver) cell(rec *record, slot int) cell {
	always := d.plan.renames && slot == 0
	if d.pick(d.plan.nulls) && !always {
		return cell{null: true}
	}
	class := "a"
	if d.pick(d.plan.refusals) && !always {
		class = []string{string(mappingRefuses), string(crmRefuses), string(crmStoresOther), string(crmRefusesAll)}[d.r.IntN(4)]
		if d.plan.renames && class == string(crmRefusesAll) {
			class = "a" // with the record the CRM would refuse its new key
		}
	}
	d.serial++
	n := d.serial
	if d.plan.alphabet > 0 {
		n = d.r.IntN(d.plan.alphabet)
	}
	return cell{text: fmt.Sprintf("%s%d@%d", class, n, rec.n)}
}

// transaction is one of the application's.
func (d *driver) transaction() {
	pg := &d.w.pg
	if d.pick(0.1) { // other tables' log
		pg.end += change.LSN(d.r.IntN(d.w.step + 1))
		return
	}
	if d.pick(0.1) && len(d.open) < 2 {
		d.open = append(d.open, pg.xid())
		return
	}
	rows := map[rowID]*row{} // as the transaction sees them
	var changes []rowChange
	for range 1 + d.r.IntN(1+d.r.IntN(4)) {
		id := rowID{d.r.IntN(d.w.tables), d.r.IntN(d.plan.rows)}
		if pg.locked[id] > 0 {
			continue
		}
		before, ours := rows[id]
		if !ours {
			before = pg.rows[id]
		}
		if c, ok := d.change(id, before); ok {
			changes = append(changes, c)
			rows[id] = c.after
			if c.before == nil || c.after != nil && c.after.key != c.before.key {
				break // whom a key means is known only once this is committed
			}
		}
	}
	late := time.Duration(0)
	if d.pick(d.w.invisible) {
		late = d.upTo(3 * time.Second)
	}
	xid := uint32(0)
	if len(d.open) > 0 && d.pick(0.3) {
		xid, d.open = d.open[0], d.open[1:]
	} else {
		xid = pg.xid()
	}
	tx := pg.commit(xid, d.gap(), late, "", changes...)
	tx.truncated = d.pick(0.02)
}

// gap is what lies in the log between two commits: sometimes nothing at all.
func (d *driver) gap() int {
	if d.pick(0.2) {
		return 0
	}
	return d.r.IntN(d.w.step)
}

func (d *driver) change(id rowID, before *row) (rowChange, bool) {
	if before == nil {
		key := d.freeKey(id, false)
		if key == "" {
			return rowChange{}, false
		}
		rec := d.w.history.of(id.table, key)
		return rowChange{after: &row{id: id, key: key, cells: [2]cell{d.cell(rec, 0), d.cell(rec, 1)}}, carries: [2]bool{true, true}}, true
	}
	if d.plan.deletes && d.pick(0.15) {
		return rowChange{before: before}, true
	}
	after := *before
	rec := d.w.history.of(id.table, strings.TrimPrefix(before.key, string(mappingRefuses)))
	c := rowChange{before: before, after: &after, carries: [2]bool{true, true}}
	switch {
	case d.plan.badKeys && d.pick(0.2):
		if bad := string(mappingRefuses) + before.key; before.key[0] != mappingRefuses {
			after.key = bad
		} else {
			after.key = before.key[1:]
		}
	case d.plan.renames && before.key[0] != mappingRefuses && d.pick(0.3):
		if key := d.freeKey(id, true); key != "" {
			after.key = key
		}
	}
	if d.pick(0.6) {
		after.cells[0] = d.cell(rec, 0)
	}
	if d.pick(0.4) {
		after.cells[1] = d.cell(rec, 1)
	} else if !before.cells[1].null {
		// Of a row that moves, a full old row brings the value along.
		c.toasted, c.carries[1] = true, d.w.full && after.key != before.key
	}
	return c, true
}

// freeKey draws a key that no row has, or had in a transaction that is not
// visible yet: a unique index would wait for that. For a rename it is one that
// means no record.
func (d *driver) freeKey(id rowID, fresh bool) string {
	if !d.plan.renames {
		return "k" + strconv.Itoa(id.id)
	}
	taken := map[string]bool{}
	for _, rows := range []map[rowID]*row{d.w.pg.rows, d.w.pg.seen} {
		for other, r := range rows {
			if other.table == id.table {
				taken[strings.TrimPrefix(r.key, string(mappingRefuses))] = true
			}
		}
	}
	key := "k" + strconv.Itoa(d.r.IntN(d.plan.rows+2))
	if taken[key] || fresh && d.w.history.ofKey(id.table, key) != nil {
		return ""
	}
	return key
}

// blow is what befalls the processes.
func (d *driver) blow() {
	w := d.w
	p := d.procs[len(d.procs)-1]
	switch d.r.IntN(8) {
	case 0, 1, 2:
		w.crash(p, d.upTo(3*time.Second))
		if d.pick(0.5) {
			time.Sleep(d.upTo(2 * time.Second))
		}
		d.startOne()
	case 3:
		if s := d.stream(p); s != nil {
			w.trace.add("the stream of %s breaks", p.name)
			s.notice()
		}
	case 4: // the slot goes to another while the first lives on for a while
		s := d.stream(p)
		if s == nil {
			return
		}
		w.trace.add("%s is cut off from the slot", p.name)
		s.sever()
		w.mu.Lock()
		p.overtaken = true
		w.mu.Unlock()
		d.startOne()
		time.AfterFunc(d.upTo(20*time.Second), s.notice)
	case 5:
		p.terminate()
		if p.err != nil {
			w.mu.Lock()
			w.fault("%s told to stop returned %v", p.name, p.err)
			w.mu.Unlock()
		}
		d.startOne()
	case 6:
		d.outage(p)
	case 7:
		w.mu.Lock()
		if d.plan.backfill || d.pick(0.5) {
			d.ask(d.r.IntN(w.tables))
		}
		// The server crashes: the slot goes back to what it had on disk.
		if w.pg.holder == nil {
			w.pg.confirmed = w.pg.durable
		}
		w.mu.Unlock()
	}
}

func (d *driver) outage(p *process) {
	w := d.w
	w.mu.Lock()
	defer w.mu.Unlock()
	what := []*bool{&p.down, &w.crm.down, &w.crm.held}[d.r.IntN(3)]
	*what = true
	w.trace.add("outage begins")
	time.AfterFunc(d.upTo(40*time.Second), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		*what = false
		w.trace.add("outage ends")
	})
}

func (d *driver) ask(table int) {
	b := ledger.Backfill{
		Table: d.w.pg.tables[table].String(), Object: "companies" + strconv.Itoa(table), Match: "key", Reason: "asked",
	}
	if d.pick(0.5) {
		b.Reason = []string{pipeline.Reread, pipeline.Retry, pipeline.Recheck, pipeline.Repair}[d.r.IntN(4)]
		for id := range d.plan.rows {
			if d.pick(0.5) {
				b.Keys = append(b.Keys, strconv.Itoa(id))
			}
		}
		if len(b.Keys) == 0 {
			return
		}
	}
	d.w.state.addBackfill(b)
}

func (d *driver) stream(p *process) *stream {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	if p.streaming == nil || p.streaming.severed {
		return nil
	}
	return p.streaming
}

func (d *driver) startOne() {
	d.names++
	sh := d.plan.shape
	sh.buffer = d.plan.buffers[d.r.IntN(len(d.plan.buffers))]
	if d.pick(0.05) && !d.plan.renames {
		sh.plan = strconv.Itoa(d.names)
	}
	d.procs = append(d.procs, d.w.start("p"+strconv.Itoa(d.names), sh))
}

// settle lets the weather calm down, and waits for the end of all work.
func (d *driver) settle() {
	w := d.w
	w.mu.Lock()
	w.calm = true
	for _, xid := range d.open {
		delete(w.pg.running, xid)
	}
	w.trace.add("calm")
	w.mu.Unlock()
	for _, p := range d.procs[:len(d.procs)-1] {
		if !p.over() {
			w.crash(p, 0)
		}
	}
	p := d.procs[len(d.procs)-1]
	time.Sleep(5 * time.Second)
	if d.pick(0.5) && !p.over() {
		p.terminate() // so that loads that were asked for meanwhile begin
	} else {
		w.crash(p, time.Second)
	}
	d.startOne()
	p = d.procs[len(d.procs)-1]
	idle := ""
	for range 1200 {
		time.Sleep(time.Second)
		w.mu.Lock()
		w.state.resume()
		w.mu.Unlock()
		if p.over() {
			break
		}
		if idle = d.idle(p); idle == "" {
			break
		}
	}
	w.mu.Lock()
	switch {
	case idle != "":
		w.fault("stuck: %s; %+v", idle, p.pipeline.Status())
	case p.over():
		w.fault("%s ended by itself: %v", p.name, p.err)
	default:
		for k, l := range w.state.letters {
			w.trace.add("open letter %+v: %+v", k, *l)
		}
		w.history.checkEnd()
	}
	w.mu.Unlock()
	time.Sleep(w.lease) // a stop within the predecessor's is not clean
	p.terminate()
	if p.err != nil {
		w.faults = append(w.faults, fmt.Sprintf("%s told to stop returned %v", p.name, p.err))
	}
	if idle == "" && !w.state.clean {
		w.faults = append(w.faults, "a clean stop left no mark")
	}
}

// idle tells what is still to be done.
func (d *driver) idle(p *process) string {
	w := d.w
	if phase := p.pipeline.Status().Phase; phase.Name != pipeline.Streaming {
		return string(phase.Name)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, tx := range w.pg.log {
		if len(tx.changes) > 0 && tx.end > w.state.checkpoint {
			return fmt.Sprintf("the checkpoint %v has not reached %v", w.state.checkpoint, tx.end)
		}
	}
	if d.plan.backfill && len(w.state.hashes) < w.tables {
		return "no backfill was asked for"
	}
	for _, b := range w.state.backfills {
		if b.State != ledger.Done {
			return fmt.Sprintf("backfill %d is %s", b.ID, b.State)
		}
	}
	return ""
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(m.Run())
}
