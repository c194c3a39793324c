package admin

import (
	"context"
	"errors"
	"time"
)

// Letter is a parked record, or a parked property of one.
type Letter struct {
	ID       int64    `json:"id"`
	Object   string   `json:"object"`
	Match    string   `json:"match"`
	Table    string   `json:"table"`
	Key      string   `json:"key,omitempty"` // match value
	Row      string   `json:"row,omitempty"` // primary key
	Property string   `json:"property,omitempty"`
	Owed     []string `json:"owed,omitempty"`
	Category string   `json:"category"`
	// Reason may quote what was refused; it is hidden with the values.
	Reason        string    `json:"reason,omitempty"`
	Position      string    `json:"position"`
	FirstSeen     time.Time `json:"first_seen"`
	LastSeen      time.Time `json:"last_seen"`
	Attempts      int       `json:"attempts"`
	CorrelationID string    `json:"correlation_id,omitempty"`
}

// hide takes out whatever comes from the row.
func (l *Letter) hide() { l.Key, l.Row, l.Reason = "", "", "" }

// LetterFilter selects letters: by number, or by category.
type LetterFilter struct {
	IDs      []int64 `json:"ids"`
	Category string  `json:"category"`
	// After and Limit page through a list, in order of the numbers.
	After int64 `json:"-"`
	Limit int   `json:"-"`
}

// empty reports a filter that selects nothing in particular.
func (f LetterFilter) empty() bool { return len(f.IDs) == 0 && f.Category == "" }

// Operator does what a person asks for on the page. Its methods may wait for the
// database as long as their context lets them.
type Operator interface {
	Letters(ctx context.Context, f LetterFilter) ([]Letter, error)
	// Retry asks for the rows of letters to be read and sent again, and tells how
	// many letters that concerns.
	Retry(ctx context.Context, f LetterFilter) (int64, error)
	Drop(ctx context.Context, f LetterFilter) (int64, error)
	// Resume lets a held change go on. One that is not held is an [ErrNotFound].
	Resume(ctx context.Context, digest string) error
}

// The errors of an Operator that the page tells apart. Their text, or that of
// what wraps them, is shown.
var (
	ErrNotReady = errors.New("pgcrm is not set up yet; try again in a moment")
	ErrNotFound = errors.New("there is no such thing any more; it may have been done already")
)
