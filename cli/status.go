package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pgcrm/pgcrm/admin"
	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// watchEvery is how often the slot and the letters are looked at.
const watchEvery = 5 * time.Second

// status puts the figures of all rooms together into what health, metrics and
// the status page show. What costs a query is read by watch now and then; the
// rest is read when it is asked for.
type status struct {
	mu      sync.Mutex
	r       *runner
	p       *pipeline.Pipeline
	src     *source
	book    *ledger.Ledger
	crm     *hubspot.Client
	found   *survey
	slot    *cdc.Slot
	missing bool
	parked  map[string]int64
	pace    map[int64]*pace // of backfills, by number
	// published is how the tables were published when the process began.
	published map[cdc.Name]cdc.Membership
	// loss is why the slot is made anew; empty where it is not.
	loss string
	// problems are what keeps tables from being followed.
	problems []string
	// absent says of which tables columns are missing.
	absent map[cdc.Name]string
	// options are those that values were last retried for, and optionsSince where the
	// stream was when others were first seen.
	options      map[*change.Source]string
	optionsSince map[*change.Source]change.LSN
	// announced holds a signal where the stream has announced a table.
	announced chan struct{}
}

func (s *status) init(r *runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.r, s.announced = r, make(chan struct{}, 1)
}

func (s *status) built(p *pipeline.Pipeline, src *source, book *ledger.Ledger, crm *hubspot.Client, found *survey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.p, s.src, s.book, s.crm, s.found, s.loss = p, src, book, crm, found, ""
	s.options, s.optionsSince = map[*change.Source]string{}, map[*change.Source]change.LSN{}
}

// lost is told that the slot was lost and is made anew. There is no pipeline
// meanwhile.
func (s *status) lost(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.p, s.slot, s.missing, s.problems, s.loss = nil, nil, false, nil, why.Error()
}

// dry is told what a dry run has found. It has no pipeline and no ledger.
func (s *status) dry(found *survey, crm *hubspot.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crm, s.found = crm, found
}

// watch looks at the slot and the letters until ctx ends.
func (s *status) watch(ctx context.Context) {
	loop := s.r.beats.Loop("status")
	defer loop.End()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		loop.Turn()
		s.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.announced:
		}
	}
}

func (s *status) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	slot, slotErr := s.src.slot(ctx)
	parked, parkedErr := s.book.CountLetters(ctx)
	seen, publicationErr := s.publication(ctx)
	if err := s.retryOptions(ctx); err != nil && ctx.Err() == nil {
		s.r.log.Debug("options_not_looked_at", "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paces(s.p.Status().Backfills, time.Now())
	s.missing = isMissing(slotErr)
	if slotErr == nil {
		s.slot = &slot
	}
	if parkedErr == nil {
		s.parked = parked
	}
	switch {
	case publicationErr == nil && seen.Tables == nil: // it was not the time to look
	case publicationErr == nil:
		s.publicationProblems(seen.Problems)
		s.absentColumns(seen.Absent)
	case ctx.Err() == nil:
		s.r.log.Debug("publication_not_looked_at", "error", publicationErr)
	}
}

// snapshot implements admin.Options.Snapshot.
func (s *status) snapshot() admin.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := thisBuild()
	now := time.Now().UTC()
	snap := admin.Snapshot{
		At:       now,
		Version:  admin.Version{Version: b.Version, Commit: b.Commit, Go: b.Go},
		State:    admin.Starting,
		Parked:   s.parked,
		Problems: s.problems,
	}
	if s.r == nil {
		return snap
	}
	cfg := s.r.cfg
	snap.Started, snap.Since = s.r.started.UTC(), s.r.started.UTC()
	snap.Database = admin.Database{Publication: cfg.Source.Publication, Schema: cfg.Source.Schema}
	snap.Slot.Name = cfg.Source.Slot
	snap.Queue.LimitBytes = int64(cfg.Delivery.BufferBytes)
	snap.CRM.BaseURL = string(cfg.CRM.BaseURL)
	if cfg.Mapping.DryRun && s.found != nil {
		snap.State, snap.DryRun = admin.Streaming, true
		s.postgres(&snap)
		s.hubspot(&snap, now)
		return snap
	}
	if s.p == nil {
		snap.Detail = s.loss
		return snap
	}
	s.pipeline(&snap, now)
	s.postgres(&snap)
	s.hubspot(&snap, now)
	return snap
}

func (s *status) pipeline(snap *admin.Snapshot, now time.Time) {
	st := s.p.Status()
	snap.State, snap.Since = admin.State(st.Phase.Name), st.Phase.Since.UTC()
	if st.Phase.Err != nil {
		snap.Detail = st.Phase.Err.Error()
	}
	if st.Quiet > 0 && snap.Detail == "" {
		snap.Detail = fmt.Sprintf("nothing is sent for another %.1f s: the instance before did not stop cleanly, and may send that long", st.Quiet.Seconds())
	}
	snap.Queue.Records, snap.Queue.Bytes = st.Queue.Records, int64(st.Queue.Bytes)
	if !st.Queue.Oldest.IsZero() {
		age := max(0, now.Sub(st.Queue.Oldest).Seconds())
		snap.Queue.OldestUnsentSeconds = age
		snap.Log.LagSeconds = &age
	}
	if !st.LastProgress.IsZero() {
		at := st.LastProgress.UTC()
		snap.Queue.LastProgress = &at
	}
	snap.Queue.InFlight = st.InFlight
	snap.Log.ReadLSN = admin.LSN(st.Read)
	snap.Log.CheckpointLSN = admin.LSN(st.Checkpoint)
	for _, b := range st.Backfills {
		shown := admin.Backfill{ID: b.ID, Table: b.Table, Rows: b.Rows, Estimate: b.Estimate, Waiting: b.Waiting}
		if pace := s.pace[b.ID]; pace != nil {
			shown.RemainingSeconds = pace.left(b)
		}
		snap.Backfills = append(snap.Backfills, shown)
	}
	held := map[string]string{}
	for name, why := range s.absent {
		for _, src := range s.found.mapping.Sources() {
			if src.Table == name.String() {
				held[pipeline.HeldName(src)] = why
			}
		}
	}
	for _, src := range s.found.mapping.Sources() {
		if why := s.found.mapping.Waits(src); why != "" {
			held[pipeline.HeldName(src)] = why
		}
	}
	maps.Copy(held, st.Held)
	for _, object := range slices.Sorted(maps.Keys(held)) {
		why := held[object]
		snap.Held = append(snap.Held, admin.Held{What: object, Reason: why})
		snap.CRM.Paused = append(snap.CRM.Paused, admin.Pause{Reason: "mapping", Detail: why, Since: snap.Since})
	}
	for _, h := range st.Waiting {
		held := showHeld(h, s.r.cfg.Admin.ShowValues)
		snap.Held = append(snap.Held, held)
		snap.CRM.Paused = append(snap.CRM.Paused, admin.Pause{Reason: "held", Detail: held.Reason, Since: h.HeldAt.UTC()})
	}
}

func (s *status) postgres(snap *admin.Snapshot) {
	snap.Database.Name, snap.Database.SystemID = s.found.server.Database, s.found.server.SystemID
	snap.Database.Server = serverVersion(s.found.server.Version)
	for _, r := range s.found.relations {
		snap.Database.Tables = append(snap.Database.Tables, r.String())
	}
	for _, src := range s.found.mapping.Sources() {
		snap.Mappings = append(snap.Mappings, admin.Mapping{Table: src.Table, Object: src.Target.Object, Match: src.Target.Match})
	}
	switch slot := s.slot; {
	case s.missing:
		snap.Slot.Status, snap.Slot.Detail = "missing", "the slot does not exist"
	case slot != nil:
		showSlot(snap, slot)
	}
}

// showSlot tells of the slot, and how far the checkpoint in snap is behind it.
func showSlot(snap *admin.Snapshot, slot *cdc.Slot) {
	retained, gap, spilled := slot.RetainedBytes(), slot.LagBytes(), slot.SpilledBytes
	snap.Slot.Status, snap.Slot.Detail = slot.WALStatus, slot.Health()
	snap.Slot.RestartLSN, snap.Slot.ConfirmedLSN = admin.LSN(slot.RestartLSN), admin.LSN(slot.ConfirmedFlush)
	snap.Slot.RetainedWALBytes, snap.Slot.SafeWALBytes = &retained, slot.SafeWALSize
	snap.Slot.ConfirmedGapBytes, snap.Slot.SpilledBytes = &gap, &spilled
	if slot.ActivePID != 0 {
		pid := slot.ActivePID
		snap.Slot.ActivePID = &pid
	}
	snap.Log.ServerLSN = admin.LSN(slot.CurrentLSN)
	lag := lagBytes(change.LSN(snap.Log.CheckpointLSN), slot)
	snap.Log.LagBytes = &lag
}

// lagBytes counts from the checkpoint, or from the slot's confirmed position
// where this process has none: another instance is at work.
func lagBytes(checkpoint change.LSN, slot *cdc.Slot) int64 {
	if checkpoint == 0 {
		return slot.LagBytes()
	}
	if slot.CurrentLSN < checkpoint {
		return 0
	}
	return int64(slot.CurrentLSN - checkpoint) //nolint:gosec // a log of 8 EiB has yet to be written
}

func (s *status) hubspot(snap *admin.Snapshot, now time.Time) {
	snap.CRM.Portal, snap.CRM.AccountType = s.found.portal, s.found.account.Type
	snap.CRM.Accepts = true
	if reason, since, paused := s.crm.Paused(); paused {
		snap.CRM.Accepts = false
		snap.CRM.Paused = append(snap.CRM.Paused, admin.Pause{Reason: "credentials", Detail: reason, Since: since.UTC()})
	}
	q := s.crm.Quota()
	snap.CRM.Quota = append(snap.CRM.Quota, admin.Quota{Window: "10s", Limit: int64(q.WindowLimit), Remaining: int64(q.WindowRemaining)})
	if q.DailyKnown {
		day := admin.Quota{Window: "day", Limit: int64(q.DailyLimit), Remaining: int64(q.DailyRemaining)}
		if q.DailyBounded {
			usable := int64(q.DailyLeft)
			day.Usable = &usable
		}
		snap.CRM.Quota = append(snap.CRM.Quota, day)
	}
	if q.DailyBounded && q.DailyLeft <= 0 {
		snap.CRM.Accepts = false
		snap.CRM.Paused = append(snap.CRM.Paused, admin.Pause{Reason: "daily_quota", Detail: "the day's calls are used up until " + q.BlockedUntil.UTC().Format(time.RFC3339), Since: now})
	}
}
