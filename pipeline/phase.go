package pipeline

import (
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

// PhaseName says what the pipeline is doing.
type PhaseName string

// The phases.
const (
	Starting     PhaseName = "starting"
	Standby      PhaseName = "standby" // another instance holds the slot
	Redoing      PhaseName = "redoing" // reading again what may have been sent before
	Loading      PhaseName = "loading" // streaming, with a backfill beside it
	Streaming    PhaseName = "streaming"
	Reconnecting PhaseName = "reconnecting"
	Stopped      PhaseName = "stopped"
)

// Phase is what the pipeline does, since when, and the error that led there.
type Phase struct {
	Name  PhaseName
	Since time.Time
	Err   error
}

func (p *Pipeline) enter(name PhaseName, err error) {
	if before := p.state.Load(); before != nil && before.Name == name {
		p.state.Store(&Phase{Name: name, Since: before.Since, Err: err})
		return
	}
	p.state.Store(&Phase{Name: name, Since: p.Now(), Err: err})
	p.Log.Info("phase", "phase", string(name))
}

// Status is a reading of the pipeline's figures.
type Status struct {
	Phase Phase
	Queue sink.Stats
	// Read is the position up to which the log was read, Checkpoint the one that
	// is stored, Bound the send-ahead bound.
	Read, Checkpoint, Bound change.LSN
	Backfills               []BackfillStatus
	// InFlight counts the batches that workers hold.
	InFlight int
	// LastProgress is when a record was last accounted for or parked.
	LastProgress time.Time
	Held         map[string]string // mappings held, by object, or by table and object: why
	// Quiet is how long nothing is sent yet, since an instance before this one may
	// still send.
	Quiet time.Duration
	// Waiting are the changes that wait for a person.
	Waiting []ledger.Held
}

// BackfillStatus is the progress of one backfill.
type BackfillStatus struct {
	ID       int64
	Table    string
	Rows     int64
	Estimate int64
	Waiting  string // what it waits for, empty while it runs
}

// Status reads the figures.
func (p *Pipeline) Status() Status {
	st := Status{Phase: *p.state.Load()}
	if s := p.session.Load(); s != nil {
		st.Queue = s.queue.Stats()
		st.Read = s.queue.Horizon()
		st.Checkpoint = change.LSN(s.saved.Load())
		st.Bound = change.LSN(s.bound.Load())
		st.Backfills = s.loads.status()
		st.Held = s.holds.reasons()
		s.unfit.addTo(st.Held)
		st.Waiting = s.gate.status()
		st.InFlight = int(s.inFlight.Load())
		st.Quiet = max(0, s.lease.quietFor())
	}
	if at := p.progressed.Load(); at != 0 {
		st.LastProgress = time.Unix(0, at)
	}
	return st
}

// Delivery tells of one record that the CRM has accounted for.
type Delivery struct {
	Entry *sink.Entry
	// Sent are the properties that went over the wire.
	Sent change.Props
	// Latency is the time from the commit of the oldest change to the answer.
	Latency time.Duration
}
