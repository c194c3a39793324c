package pipeline

import (
	"context"
	"errors"
	"time"
)

// errCancelled ends a backfill that somebody has cancelled.
var errCancelled = errors.New("cancelled")

func (j *job) stillWanted(ctx context.Context) error {
	open := false
	err := j.persist(ctx, "backfill_open", func() (err error) {
		open, err = j.Ledger.BackfillOpen(ctx, j.ID)
		return err
	})
	if err == nil && !open {
		return errCancelled
	}
	return err
}

// wait waits for something that the queue does, as long as the backfill is wanted.
func (j *job) wait(ctx context.Context, poll time.Duration, over func() bool) error {
	asked := j.Now()
	for !over() {
		if err := sleep(ctx, poll); err != nil {
			return err
		}
		if j.Now().Sub(asked) < requestPoll {
			continue
		}
		if err := j.stillWanted(ctx); err != nil {
			return err
		}
		asked = j.Now()
	}
	return nil
}

// awaitRoom lets live changes go first: a chunk is read only while the queue is
// less than half full, and has no more rows of chunks than it gets rid of in a
// little while.
func (j *job) awaitRoom(ctx context.Context) error {
	return j.wait(ctx, loadPoll/10, func() bool {
		return j.queue.Stats().Bytes <= j.BufferBytes/2 && j.loads.backlog() <= j.loads.pace.backlog(j.ChunkRows, j.BufferBytes)
	})
}

func (j *job) settled() bool { return !j.loads.pending(j.ID) }

// finish waits until the last chunk is saved as done.
func (j *job) finish(ctx context.Context) error {
	if err := j.wait(ctx, loadPoll, j.settled); err != nil {
		return err
	}
	err := j.persist(ctx, "backfill_finished", func() error { return j.Ledger.FinishBackfill(ctx, j.ID) })
	if err != nil {
		return err
	}
	rows := j.loads.forget(j.ID)
	j.Log.Info("backfill_finished", "backfill", j.ID, "table", j.Table, "rows", rows)
	return nil
}

// cancelled sends nothing more of the backfill, and waits for the calls that are
// under way.
func (j *job) cancelled(ctx context.Context) error {
	j.Log.Info("backfill_cancelled", "backfill", j.ID, "table", j.Table, "rows_not_sent", j.loads.abandon(j.ID))
	for !j.settled() {
		if err := sleep(ctx, loadPoll); err != nil {
			return err
		}
	}
	j.loads.forget(j.ID)
	return nil
}

// abandon drops what is queued of a backfill. Those rows do not count as loaded.
func (l *loads) abandon(id int64) (rows int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for chunk, n := range l.s.queue.Abandon(id) {
		chunk.Rows -= n
		rows += n
	}
	return rows
}
