package pipeline_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutant is a rule broken on purpose.
type mutant struct {
	name  string
	file  string // below the module
	edits []edit
}

type edit struct{ from, to string }

// breaking makes a mutant of pairs of what is there and what takes its place.
func breaking(name, file string, pairs ...string) mutant {
	m := mutant{name: name, file: file}
	for i := 0; i < len(pairs); i += 2 {
		m.edits = append(m.edits, edit{pairs[i], pairs[i+1]})
	}
	return m
}

// mutants break, one by one, the rules that the package comments state. Each
// must make TestCrashAndReplay or one of the tests of a rule fail.
var mutants = []mutant{
	breaking(
		"checkpoint saved before the deliveries", "pipeline/settler.go",
		"	if write {\n",
		"	if write {\n		_ = s.Ledger.Settle(ctx, &ledger.Settlement{Checkpoint: settlement.Checkpoint})\n",
	),
	breaking(
		"slot confirmed before the checkpoint is saved", "pipeline/settler.go",
		"	if write {\n",
		"	if write {\n		s.stream.Confirm(settlement.Checkpoint)\n",
	),
	breaking(
		"highest position instead of the lowest", "sink/positions.go",
		"safe = e.safe", "safe = q.lastEnd",
	),
	breaking(
		"merged entry goes to the tail", "sink/queue.go",
		"	e.Doubt |= a.Doubt\n",
		`	e.Doubt |= a.Doubt
	if e.next != nil {
		if e.prev == nil {
			q.head = e.next
		} else {
			e.prev.next = e.next
		}
		e.next.prev = e.prev
		e.prev, e.next = q.tail, nil
		q.tail.next = e
		q.tail = e
	}
	e.safe = q.lastEnd
`,
	),
	breaking(
		"entries leave at the answer", "pipeline/worker.go",
		"	select {\n	case s.results <- outcomes:\n",
		`	for _, o := range outcomes {
		s.queue.Settling([]*sink.Entry{o.entry})
	}
	select {
	case s.results <- outcomes:
`,
	),
	breaking(
		"entries leave before the COMMIT of their settle", "pipeline/settler.go",
		"	if write {\n", "	s.queue.Remove(entries)\n	if write {\n",
		"	// What needed no write leaves as well: the CRM holds it already, and the\n	// ledger says so.\n	s.queue.Remove(entries)\n", "",
	),
	breaking(
		"a settle without an answer counts as done", "pipeline/settler.go",
		"s.fenced(ctx, \"settle\", func() error { return s.Ledger.Settle(ctx, settlement) })", "s.Ledger.Settle(ctx, settlement)",
		"		if err != nil {\n			return err\n		}\n		s.loads.saved", "		if err != nil && ctx.Err() != nil {\n			return err\n		}\n		s.loads.saved",
	),
	breaking(
		"an overtaken instance goes on", "pipeline/worker.go",
		"errors.Is(err, ledger.ErrFenced) || ", "",
	),
	breaking(
		"a worker's error is dropped", "pipeline/worker.go",
		"				kill(err)\n", "",
	),
	breaking(
		"next version goes out while the one before is in flight", "sink/queue.go",
		"		e.blocked++\n", "		before.followers = before.followers[:len(before.followers)-1]\n",
	),
	breaking(
		"a held version is taken", "sink/withhold.go",
		"for o.len() > 0 && o.first().waits > 0 {", "for o.len() > 1<<30 {",
	),
	breaking(
		"a held transaction does not keep the checkpoint", "sink/positions.go",
		"e != nil && e.state == settling", "e != nil && (e.state == settling || e.waits > 0)",
	),
	breaking(
		"a transaction goes out before it is read whole", "pipeline/hold_tx.go",
		"	s.queue.Withhold()\n", "",
	),
	breaking(
		"what was let go is forgotten at once", "pipeline/hold.go",
		"if commit != 0 && commit < checkpoint {", "if commit != 0 {",
	),
	breaking(
		"merging only goes on after the transaction that was counted", "pipeline/reader.go",
		"			s.read.mergeOnly = false // the rest has merged\n", "",
	),
	breaking(
		"what is left out of the queue is not counted", "pipeline/redo.go",
		"	s.leftOutside(a)\n", "",
	),
	breaking(
		"rows that alter nothing are counted", "pipeline/hold.go",
		"return slots, len(slots) > 0 || renames", "return slots, true",
	),
	breaking(
		"a load begins before a person lets it", "pipeline/hold_load.go",
		"	return true, j.persist", "	return false, j.persist",
	),
	breaking(
		"no redo before sending", "pipeline/session.go",
		"min(state.Bound, server.FlushedEnd)", "0",
	),
	breaking(
		"a keepalive counts with work in flight", "sink/positions.go",
		"case e == nil && !q.inTx:", "case !q.inTx:",
	),
	breaking(
		"a keepalive counts in the middle of a transaction", "sink/positions.go",
		"	case e == nil && !q.inTx:\n", "	case e == nil:\n",
		"	if !q.inTx {\n		q.horizon", "	{\n		q.horizon",
	),
	breaking(
		"bound not enforced", "sink/take.go",
		"if l.ready.first(loads).Newest.LSN >= q.bound {", "if false {",
	),
	breaking(
		"bound compared with a version's first position", "sink/take.go",
		"l.ready.first(loads).Newest.LSN >= q.bound", "l.ready.first(loads).First.LSN >= q.bound",
	),
	breaking(
		"point of redo not clamped at the end of the log", "pipeline/session.go",
		"min(state.Bound, server.FlushedEnd)", "state.Bound",
	),
	breaking(
		"end of the log read before the slot is held", "pipeline/session.go",
		"	stream, err := p.Source.Open(ctx, start)\n",
		"	early, _ := p.Source.Identify(ctx)\n	p.Instance.FlushedEnd = early.FlushedEnd\n	stream, err := p.Source.Open(ctx, start)\n",
		"min(state.Bound, server.FlushedEnd)", "min(state.Bound, p.Instance.FlushedEnd)",
	),
	breaking(
		"point of redo inclusive", "pipeline/redo.go",
		"s.queue.Horizon() < s.redoTo", "s.queue.Horizon() <= s.redoTo",
	),
	breaking(
		"a batch beyond the bound waits for another settle", "sink/take.go",
		"			notify(q.boundWanted)\n", "",
	),
	breaking(
		"redo blocks on a full queue", "pipeline/reader.go",
		"		if s.redoing.Load() {\n			return s.condense(ctx)", "		if s.redoing.Load() && s.queue == nil {\n			return s.condense(ctx)",
	),
	breaking(
		"redo sends when the queue is full", "pipeline/redo.go",
		"	byTarget := map", "	s.queue.Open()\n	byTarget := map",
	),
	breaking(
		"what redo left out is forgotten", "pipeline/redo.go",
		"	if s.read.leftOut {\n", "	if s.read.leftOut && s.queue == nil {\n",
	),
	breaking(
		"checkpoint passes what redo left out", "pipeline/redo.go",
		"	s.queue.Ceiling(s.queue.LastEnd())\n", "",
	),
	breaking(
		"each pass of redo begins where the one before began", "pipeline/redo.go",
		"	s.passed = s.read.firstLeft\n", "",
	),
	breaking(
		"redo does not end at a transaction beyond it", "sink/positions.go",
		"	q.horizon = max(q.horizon, commit)\n", "",
	),
	breaking(
		"accounted position per transaction", "pipeline/redo.go",
		"!record.Accounted.Before(e.Newest)", "record.Accounted.LSN >= e.Newest.LSN",
	),
	breaking(
		"positions of another plan drop changes", "pipeline/redo.go",
		"		e.First.LSN >= s.state.OrdinalsSince &&\n", "",
	),
	breaking(
		"what is redone is compared", "pipeline/reader.go",
		"redone = sink.Redone", "redone = 0",
	),
	breaking(
		"compared after an attempt without an answer", "pipeline/worker.go",
		"a.entry.Doubt |= sink.Unanswered", "a.entry.Doubt |= 0",
	),
	breaking(
		"old value kept after the CRM's refusal", "pipeline/attempt.go",
		"case v.Unanswered || e.Doubt != 0:", "case v.Unanswered && e.Doubt != e.Doubt:",
	),
	breaking(
		"old value kept after the mapping's refusal", "pipeline/attempt.go",
		"	if e.Doubt != 0 {\n", "	if e.Doubt != e.Doubt {\n",
	),
	breaking(
		"key change busy on the new key alone", "sink/queue.go",
		"		lane.hold(e, e.OldKey)\n", "",
	),
	breaking(
		"the old key of a renamed record is forgotten", "pipeline/settler.go",
		"settlement.Deliveries = append(settlement.Deliveries, vacate(o.entry))", "",
	),
	breaking(
		"a settled rename is done again", "pipeline/worker.go",
		"f.renamed = s.reached(records[i], e.First) || s.reached(old, e.First)", "f.renamed = false",
	),
	breaking(
		"a rename that was refused counts as done", "pipeline/attempt.go",
		"			if a.renames() { // it was not\n", "			if a.renames() && v.KeyTaken {\n",
	),
	breaking(
		"letters per record", "pipeline/attempt.go",
		"d.CRMID, d.Delivered = v.CRMID, done", "d.CRMID, d.Delivered, d.CloseAll = v.CRMID, done, true",
	),
	breaking(
		"letter of a property that needed no write in a refused version", "pipeline/attempt.go",
		"		if doubtful || exists && a.pays() {", "		if doubtful {",
	),
	breaking(
		"NULL over a waiting value does not clear", "change/props.go",
		"				case ClearIfDelivered:\n					n.Kind = Clear\n", "				case ClearIfDelivered:\n",
	),
	breaking(
		"chunk's row dropped whole", "pipeline/window.go",
		"case t.all:", "case t.all || touched:",
	),
	breaking(
		"chunk's row wins", "pipeline/window.go",
		"	case !touched:\n", "	case !touched || w.open:\n",
	),
	breaking(
		"progress at enqueue", "pipeline/loads.go",
		"if !q.ChunkDone(c) {", "if q == nil {",
	),
	breaking(
		"invisible commit ignored", "pipeline/loads.go",
		"			complete = false\n", "",
	),
	breaking(
		"no waiting for what was open at the start", "pipeline/loader.go",
		"if first.EndedBefore(now) {", "if first != nil && now != nil {",
	),
	breaking(
		"cut-off chunk compared", "pipeline/recall.go",
		"d.Facts[slot] = change.Fact{State: change.Unknown}", "d.Facts[slot].State = max(d.Facts[slot].State, 0)",
	),
	breaking(
		"repairs and retries compared", "pipeline/job.go",
		"	case Repair, Retry, RowGone:\n		return sink.Redone\n", "	case Repair, Retry, RowGone:\n		return 0\n",
	),
	breaking(
		"what the stream leaves out is not read again", "pipeline/settler.go",
		"		if !o.reread {\n", "		if outcomes != nil {\n",
	),
	breaking(
		"a value that is not stored counts as delivered", "sink/diff.go",
		"			case wasFutile(p.Text):\n				d.Futile = append(d.Futile, p.Slot)\n", "			case wasFutile(p.Text):\n				d.Settled = append(d.Settled, p.Slot)\n",
	),
	breaking(
		"a value that is not stored is hammered", "sink/diff.go",
		"^fingerprint(text)", "fingerprint(text)-1",
	),
	breaking(
		"no lease", "pipeline/lease.go",
		"age < l.length", "age < 1000*l.length",
	),
	breaking(
		"no waiting for the predecessor's lease", "pipeline/session.go",
		"p.quiet = p.Now().Add(p.Lease)", "p.quiet = p.Now()",
	),
	breaking(
		"a stop in the predecessor's lease is clean", "pipeline/session.go",
		"if clean && s.lease.quietFor() <= 0 {", "if clean {",
	),
	breaking(
		"chunk not written ahead", "pipeline/job.go",
		"	sent := sentRows(mapped)\n", "	sent := sentRows(mapped[:0])\n",
	),
}

// TestMutants shows that the tests of this package notice when a rule of the
// protocol is broken. It compiles the tests once for each mutant, which takes a
// minute or two: it runs with PGCRM_MUTANTS=all, or the words of some names.
func TestMutants(t *testing.T) {
	which := os.Getenv("PGCRM_MUTANTS")
	if which == "" {
		t.Skip("set PGCRM_MUTANTS=all")
	}
	for _, m := range mutants {
		if which != "all" && !strings.Contains(m.name, which) {
			continue
		}
		t.Run(m.name, func(t *testing.T) { m.mustDie(t) })
	}
}

// TestMutantsFitTheCode keeps the list above in step with what it breaks.
func TestMutantsFitTheCode(t *testing.T) {
	for _, m := range mutants {
		if _, _, err := m.broken(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// broken gives the file that the mutant changes, and the text that it has then.
func (m *mutant) broken() (path, text string, err error) {
	if path, err = filepath.Abs(filepath.Join("..", m.file)); err != nil {
		return "", "", err
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	text = string(source)
	for _, e := range m.edits {
		if n := strings.Count(text, e.from); n != 1 {
			return "", "", fmt.Errorf("%s holds %q %d times: adapt the mutant to the code", m.file, e.from, n)
		}
		text = strings.Replace(text, e.from, e.to, 1)
	}
	return path, text, nil
}

func (m *mutant) mustDie(t *testing.T) {
	path, broken, err := m.broken()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "mutant.go")
	overlay := filepath.Join(dir, "overlay.json")
	binary := filepath.Join(dir, "mutant.test")
	mapping, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{changed: broken, overlay: string(mapping)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "test", "-vet=off", "-c", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("the mutant does not compile: %v\n%s", err, out)
	}
	run := exec.Command(binary, "-test.timeout=5m", "-test.failfast", "-chaos.runs=3000", "-chaos.first=1")
	run.Env = append(os.Environ(), "PGCRM_MUTANTS=")
	out, err := run.CombinedOutput()
	if err == nil {
		t.Fatalf("it lives:\n%s", out)
	}
	t.Log(firstLines(string(out), 6))
}

func firstLines(text string, n int) string {
	lines := strings.SplitAfterN(text, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "")
}
