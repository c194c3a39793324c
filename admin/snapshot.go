package admin

import "time"

// State says what the process is doing.
type State string

// The states. In the first three the process is ready.
const (
	Streaming State = "streaming"
	Loading   State = "loading" // streaming, with a backfill beside it
	Standby   State = "standby" // another instance holds the slot

	Starting     State = "starting"
	Redoing      State = "redoing" // reading again what may have been sent before
	Reconnecting State = "reconnecting"
	Stopping     State = "stopping"
	Stopped      State = "stopped"
)

// Ready reports a process that is set up and does its work, or stands by to
// take it over.
func (s State) Ready() bool { return s == Streaming || s == Loading || s == Standby }

// Snapshot is the state of the process at one moment: what /api/status returns
// and `pgcrm status -o json` prints. Pointers are nil, and null in JSON, where a
// value is not known or does not apply. Times are UTC, durations in seconds.
type Snapshot struct {
	At      time.Time `json:"at"`
	Version Version   `json:"version"`
	Started time.Time `json:"started,omitzero"`
	State   State     `json:"state"`
	Since   time.Time `json:"since,omitzero"`
	// Detail says in words what the state waits for or why it was entered.
	Detail string `json:"detail,omitempty"`
	// Problems keep it from being ready though it streams, each with its mend: a
	// mapped table that is not published, say.
	Problems []string  `json:"problems"`
	DryRun   bool      `json:"dry_run,omitempty"`
	Database Database  `json:"database"`
	Slot     Slot      `json:"slot"`
	Log      Log       `json:"log"`
	Mappings []Mapping `json:"mappings"`
	Queue    Queue     `json:"queue"`
	CRM      CRM       `json:"crm"`
	// Mappings that wait, say for a column that went missing.
	Held      []Held           `json:"held"`
	Parked    map[string]int64 `json:"parked"` // records by reason
	Backfills []Backfill       `json:"backfills"`
	// Records by outcome, and row changes read, since the start of the process.
	Records map[string]int64 `json:"records"`
	Changes int64            `json:"changes"`
}

// Mapping is a table and the object that its rows go to.
type Mapping struct {
	Table  string `json:"table"`
	Object string `json:"object"`
	Match  string `json:"match"`
}

// Version is the build that runs.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

// Database is the source.
type Database struct {
	Server      string   `json:"server"` // version in words
	SystemID    string   `json:"system_id"`
	Name        string   `json:"name"`
	Publication string   `json:"publication"`
	Schema      string   `json:"schema"` // of pgcrm's own tables
	Tables      []string `json:"tables"`
}

// Slot is the replication slot as the server sees it.
type Slot struct {
	Name string `json:"name"`
	// Status is wal_status: reserved, extended, unreserved or lost; or missing.
	Status string `json:"status"`
	// Detail puts the status in words, with the mend where one is needed.
	Detail       string `json:"detail,omitempty"`
	ActivePID    *int   `json:"active_pid"`
	RestartLSN   LSN    `json:"restart_lsn"`
	ConfirmedLSN LSN    `json:"confirmed_lsn"`
	// RetainedWALBytes is the log the server keeps for the slot: the restart gap,
	// which costs disk. It lags behind what was confirmed.
	RetainedWALBytes *int64 `json:"retained_wal_bytes"`
	// ConfirmedGapBytes is the log written since the confirmed position.
	ConfirmedGapBytes *int64 `json:"confirmed_gap_bytes"`
	// SafeWALBytes is what may still be written before the slot is lost; nil
	// where the server sets no limit.
	SafeWALBytes *int64 `json:"safe_wal_bytes"`
	// SpilledBytes were written to the server's disk while decoding, because
	// transactions exceeded logical_decoding_work_mem.
	SpilledBytes *int64 `json:"spilled_bytes"`
}

// Log is how far the write-ahead log was read and accounted for.
type Log struct {
	ServerLSN     LSN `json:"server_lsn"`
	ReadLSN       LSN `json:"read_lsn"`
	CheckpointLSN LSN `json:"checkpoint_lsn"`
	// LagBytes is from the checkpoint to the server's position.
	LagBytes *int64 `json:"lag_bytes"`
	// LagSeconds is the age of the oldest commit that is not accounted for.
	LagSeconds *float64 `json:"lag_seconds"`
}

// Queue is what waits to be sent.
type Queue struct {
	Records    int   `json:"records"`
	Bytes      int64 `json:"bytes"`
	LimitBytes int64 `json:"limit_bytes"`
	InFlight   int   `json:"in_flight"` // calls
	// OldestUnsentSeconds is the age of the oldest change that the CRM has not
	// accounted for, 0 where nothing waits.
	OldestUnsentSeconds float64 `json:"oldest_unsent_seconds"`
	// LastProgress is when a record was last accounted for or parked.
	LastProgress *time.Time `json:"last_progress"`
}

// CRM is the account that is written to.
type CRM struct {
	BaseURL     string `json:"base_url"`
	Portal      string `json:"portal"` // the portal's id
	AccountType string `json:"account_type,omitempty"`
	// Accepts is false from a refusal or failure until a call succeeds again.
	Accepts bool    `json:"accepts"`
	Paused  []Pause `json:"paused"`
	Quota   []Quota `json:"quota"`
}

// Pause is a reason for which nothing is sent.
type Pause struct {
	Reason string    `json:"reason"` // a short label: credentials, daily_quota
	Detail string    `json:"detail,omitempty"`
	Since  time.Time `json:"since"`
}

// Quota is one window in which the API counts calls.
type Quota struct {
	Window    string `json:"window"` // 10s, day
	Limit     int64  `json:"limit"`
	Remaining int64  `json:"remaining"`
	// Usable is what pgcrm may still use of it, where a share or a limit of its
	// own bounds that.
	Usable *int64     `json:"usable,omitempty"`
	Resets *time.Time `json:"resets"`
}

// Held is a mapping or change that waits for somebody.
type Held struct {
	What   string `json:"what"` // table or object
	Reason string `json:"reason"`
	// Digest names a change that waits for `pgcrm resume`; empty for a mapping.
	Digest string `json:"digest,omitempty"`
	// Records is how many the change would alter, at least so many with Partial;
	// Samples tell of some of them.
	Records int64      `json:"records,omitempty"`
	Partial bool       `json:"at_least,omitempty"`
	Samples []string   `json:"samples,omitempty"`
	Since   *time.Time `json:"since,omitempty"`
}

// Backfill is a load of existing rows that is not finished.
type Backfill struct {
	ID       int64      `json:"id"`
	Table    string     `json:"table"`
	Rows     int64      `json:"rows"`
	Estimate int64      `json:"estimate"` // rows in all, 0 if not known
	Waiting  string     `json:"waiting,omitempty"`
	Started  *time.Time `json:"started"`
	// RemainingSeconds is a guess from the rate so far.
	RemainingSeconds *float64 `json:"remaining_seconds"`
}

// Share is the part that is done, between 0 and 1, or -1 if not known.
func (b Backfill) Share() float64 {
	if b.Estimate <= 0 {
		return -1
	}
	return min(1, float64(b.Rows)/float64(b.Estimate))
}

// Fill replaces nil lists and maps, so that JSON has [] and {} and no null.
func (s *Snapshot) Fill() {
	s.Database.Tables = orEmpty(s.Database.Tables)
	s.Mappings = orEmpty(s.Mappings)
	s.CRM.Paused = orEmpty(s.CRM.Paused)
	s.CRM.Quota = orEmpty(s.CRM.Quota)
	s.Problems = orEmpty(s.Problems)
	s.Held = orEmpty(s.Held)
	s.Backfills = orEmpty(s.Backfills)
	for _, counts := range []*map[string]int64{&s.Parked, &s.Records} {
		if *counts == nil {
			*counts = map[string]int64{}
		}
	}
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
