package hubspotsim

import (
	"fmt"
	"math/rand/v2"
)

// Play says which of two possible behaviours the portal shows. The zero value
// is the default that the quirk documents.
type Play string

// The plays.
const (
	Default Play = ""
	Off     Play = "off"
	On      Play = "on"
	Random  Play = "random" // drawn anew for each call
)

// Quirks are the questions that HubSpot's documentation leaves open, and
// behaviours that differ between portals. A client must be right under any of
// them.
type Quirks struct {
	// UpdateErrorsPerInput: a batch update whose inputs all carry a trace id
	// gets 207 with an error per invalid input, instead of 400 for all. Off.
	// (Create and upsert always do so.)
	UpdateErrorsPerInput Play `json:"updateErrorsPerInput,omitempty"`
	// NotFoundPerTrace: OBJECT_NOT_FOUND comes as one entry per trace id rather
	// than as one entry with all ids. Off.
	NotFoundPerTrace Play `json:"notFoundPerTrace,omitempty"`
	// NotFoundNamesTraces: the one entry for all ids names the trace ids beside
	// them. On.
	NotFoundNamesTraces Play `json:"notFoundNamesTraces,omitempty"`
	// EchoTrace: results carry objectWriteTraceId. Off.
	EchoTrace Play `json:"echoTrace,omitempty"`
	// Shuffle: results come in another order than the inputs. On.
	Shuffle Play `json:"shuffle,omitempty"`
	// Normalise: dates, moments, domains and e-mail addresses are answered in
	// HubSpot's own form, not as sent. On.
	Normalise Play `json:"normalise,omitempty"`
	// NameValues: refusals name the bad value beside the property. On.
	NameValues Play `json:"nameValues,omitempty"`
	// MergedWrites: a batch update by the id of a merged record changes the
	// survivor, though the answer leaves it out. Off.
	MergedWrites Play `json:"mergedWrites,omitempty"`
	// KeepPrimaryID: a merge keeps the primary's id. Off: a new id is made.
	KeepPrimaryID Play `json:"keepPrimaryId,omitempty"`
	// ConflictFailsBatch: one conflict in a create or an upsert is a 409 for
	// the whole batch, trace ids or not. On for upsert and for inputs without
	// trace id; Off makes it an error per input where all carry one.
	ConflictFailsBatch Play `json:"conflictFailsBatch,omitempty"`
	// RetryAfter: a 429 carries Retry-After. Off.
	RetryAfter Play `json:"retryAfter,omitempty"`
	// CountRefused: a call that was refused by a 429 counts against the limits.
	// Off.
	CountRefused Play `json:"countRefused,omitempty"`
	// FoldCase: unique values match whatever their case and outer spaces. Off.
	FoldCase Play `json:"foldCase,omitempty"`
	// MixedIDProperties: inputs of one batch may name different id properties.
	// On; Off makes it a 400.
	MixedIDProperties Play `json:"mixedIdProperties,omitempty"`
	// ArchiveUnknown: archiving an unknown or archived id is a 207 with
	// OBJECT_NOT_FOUND. Off: 204.
	ArchiveUnknown Play `json:"archiveUnknown,omitempty"`
	// RotateRefreshToken: each OAuth refresh hands out a new refresh token and
	// ends the old one. Off.
	RotateRefreshToken Play `json:"rotateRefreshToken,omitempty"`
	// Gzip: answers are compressed where the client accepts it. Off.
	Gzip Play `json:"gzip,omitempty"`
	// NewFields: answers carry fields that no documentation names. Off.
	NewFields Play `json:"newFields,omitempty"`
	// ScopesOnTop: a 403 names the scopes in the top context, as older answers
	// do, instead of in errors. Off.
	ScopesOnTop Play `json:"scopesOnTop,omitempty"`
}

// Hostile plays every open question at random.
func Hostile() Quirks {
	return Quirks{
		UpdateErrorsPerInput: Random, NotFoundPerTrace: Random, NotFoundNamesTraces: Random, EchoTrace: Random, Shuffle: On, Normalise: Random,
		NameValues: Random, MergedWrites: Random, KeepPrimaryID: Random, ConflictFailsBatch: Random,
		RetryAfter: Random, CountRefused: Off, FoldCase: Off, MixedIDProperties: On, ArchiveUnknown: Random,
		RotateRefreshToken: Random, Gzip: Random, NewFields: Random, ScopesOnTop: Random,
	}
}

// on decides for one call.
func (p Play) on(byDefault bool, rng *rand.Rand) bool {
	switch p {
	case On:
		return true
	case Off:
		return false
	case Random:
		return rng.IntN(2) == 1
	case Default:
	}
	return byDefault
}

// UnmarshalText refuses words that are no play.
func (p *Play) UnmarshalText(text []byte) error {
	switch q := Play(text); q {
	case Default, Off, On, Random:
		*p = q
		return nil
	}
	return fmt.Errorf("%q is not one of off, on, random", text)
}
