package hubspotsim

import "time"

// DefaultToken is accepted by a portal whose Options name no token.
const DefaultToken = "pat-na1-00000000-0000-4000-8000-simulator000"

// Options describe a portal. The zero value is a usable portal with one token,
// the standard objects, and the limits of a small account.
type Options struct {
	// Tokens that the portal accepts; DefaultToken with every scope if empty.
	Tokens []Token
	// OAuth, if not nil, lets /oauth/.../token hand out access tokens.
	OAuth *OAuth

	PortalID    int64  // 21939747 if zero
	AccountType string // STANDARD, DEVELOPER_TEST, SANDBOX; DEVELOPER_TEST if empty
	// TimeZone is the account's: its midnight starts the daily count anew.
	// US/Eastern if nil.
	TimeZone *time.Location

	// Limits; DefaultLimits if nil.
	Limits *Limits
	// Objects are custom object types beside the standard ones, or replacements
	// for those with the same name.
	Objects []Schema
	// Properties are added to object types, by name.
	Properties map[string][]Property
	// PropertyDelay is how long a property created through the API stays
	// unknown. HubSpot takes 250 to 700 ms.
	PropertyDelay time.Duration

	Quirks Quirks
	// Seed decides faults, shuffles and ids. Two portals with the same seed
	// that meet the same calls in the same order behave alike.
	Seed uint64
	// Now is the clock; time.Now if nil. Delays use timers, which testing/synctest
	// turns into its own.
	Now func() time.Time

	// JournalLimit bounds the entries kept in memory: 0 keeps all, below 0 keeps
	// none.
	JournalLimit int
	// OnEntry, if not nil, is told of each write while the portal is locked: it
	// must be quick and must not call the portal.
	OnEntry func(Entry)
	// HistoryDepth is the number of values that propertiesWithHistory can show;
	// 0 keeps none.
	HistoryDepth int
	// MaxBodyBytes, above 0, answers larger bodies with 413. At most 64 MiB are
	// ever read.
	MaxBodyBytes int64
}

// Limits are the rates that a portal allows.
type Limits struct {
	// Calls in any Window, per token. 0 means no limit.
	Calls  int
	Window time.Duration
	// Daily calls of the whole account, from midnight to midnight. 0 means no
	// limit.
	Daily int
	// SearchPerSecond is the account's own limit for searches; 0 means no limit.
	SearchPerSecond int
}

// DefaultLimits are those of a free or starter account.
func DefaultLimits() Limits {
	return Limits{Calls: 100, Window: 10 * time.Second, Daily: 250_000, SearchPerSecond: 5}
}

// Unthrottled are limits that nobody reaches. Their headers still go out, so
// that a client that follows them speeds up.
func Unthrottled() Limits { return Limits{Window: 10 * time.Second} }

// Token is a credential that the portal accepts.
type Token struct {
	Value string `json:"token"`
	// Scopes granted; all if nil.
	Scopes []string `json:"scopes,omitempty"`
	// Expires, if not zero, ends the token.
	Expires time.Time `json:"expires,omitzero"`
	// OAuth tokens have no daily limit and no daily headers.
	OAuth bool `json:"oauth,omitempty"`
}

// OAuth is an installed app.
type OAuth struct {
	ClientID, ClientSecret, RefreshToken string
	// Lifetime of an access token; 30 minutes if zero.
	Lifetime time.Duration
	// Scopes granted to access tokens; all if nil.
	Scopes []string
}
