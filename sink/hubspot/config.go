package hubspot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// DefaultBaseURL is where HubSpot's API lives for every account; the account's
// region does not change it.
const DefaultBaseURL = "https://api.hubapi.com"

// MaxBatch is the most inputs that HubSpot takes in one batch call, for every
// object type and verb.
const MaxBatch = 100

// Config says how to reach HubSpot and how much of it to use. The zero value of
// every field but Token is usable.
type Config struct {
	// BaseURL is scheme and host, DefaultBaseURL if empty. Plain http is taken
	// only for loopback and private addresses.
	BaseURL string
	// APIVersion is "v3" or a dated version such as "2026-03"; "v3" if empty.
	APIVersion string
	// Token gives the bearer token. It is called once before the first call and
	// again whenever HubSpot refuses the token it gave before, so that rotation
	// needs no restart. Calls never overlap.
	Token func(ctx context.Context) (string, error)
	// TokenSetting is the name of the setting that the token comes from, for
	// messages; HUBSPOT_ACCESS_TOKEN if empty.
	TokenSetting string
	// MaxInFlight bounds the calls at one time; 4 if zero.
	MaxInFlight int
	// RateLimit is a ceiling on calls in a rolling window; zero follows the
	// headers of the API alone, from 100 in 10 s.
	RateLimit RateLimit
	// QuotaShare is the part of the account's daily calls that this process may
	// eat into, above 0 up to 1: at 0.8 it stops when a fifth is left. 1 if zero.
	QuotaShare float64
	// DailyLimit bounds the calls that this process makes in one day of the
	// account; none if zero.
	DailyLimit int
	// Part is how much it uses of what it might, above 0 up to 1: of the rolling
	// window, and of the calls that the day has left when it begins. The rest is for
	// another process of this program that works with the same token. 1 if zero.
	Part float64
	// CallTimeout bounds one attempt; 110 s if zero, a little more than
	// HubSpot's own gateway gives a call, so that it is HubSpot who gives up.
	CallTimeout time.Duration
	// MaxResponse bounds the bytes of one answer, unpacked; 64 MiB if zero.
	MaxResponse int64
	// Stopping, once it has ended, keeps every call from a further attempt, and
	// from waiting for one, with ErrStopping; attempts under way are finished. Nil
	// never ends.
	Stopping context.Context
	// UserAgent names the program; "pgcrm" if empty.
	UserAgent string
	// Logger takes what an operator should see; nothing is logged if nil.
	Logger *slog.Logger
	// ObserveCall is told about every attempt: the endpoint without version,
	// the HTTP status (0 if no answer came) and how long it took.
	ObserveCall func(endpoint string, code int, d time.Duration)
	// Now and Rand are the clock and a source of numbers in [0,1); time.Now and
	// no jitter at all if nil.
	Now  func() time.Time
	Rand func() float64
	// Transport replaces the HTTP transport, for tests.
	Transport http.RoundTripper
}

// ConfigError lists what is wrong with a configuration.
type ConfigError struct{ problems []string }

// Error joins the problems.
func (e *ConfigError) Error() string { return strings.Join(e.problems, "; ") }

// Problems names, one line each, the setting at fault and the mend.
func (e *ConfigError) Problems() []string { return e.problems }

var datedVersion = regexp.MustCompile(`^20\d\d-(0[1-9]|1[0-2])$`)

// withDefaults fills what is empty and finds everything that is wrong.
func (cfg Config) withDefaults() (Config, *url.URL, error) {
	var problems []string
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	base, err := parseBaseURL(cfg.BaseURL)
	if err != nil {
		problems = append(problems, "HUBSPOT_BASE_URL: "+err.Error())
	}
	if cfg.APIVersion == "" {
		cfg.APIVersion = "v3"
	}
	if cfg.APIVersion != "v3" && !datedVersion.MatchString(cfg.APIVersion) {
		problems = append(problems, fmt.Sprintf("HUBSPOT_API_VERSION: %q is no version; use v3 or a dated one such as 2026-03", cfg.APIVersion))
	}
	if cfg.TokenSetting == "" {
		cfg.TokenSetting = "HUBSPOT_ACCESS_TOKEN"
	}
	if cfg.Token == nil {
		problems = append(problems, cfg.TokenSetting+": is not set; give it a service key or a private app's token, or set HUBSPOT_CLIENT_ID, HUBSPOT_CLIENT_SECRET and HUBSPOT_REFRESH_TOKEN")
	}
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = 4
	}
	if cfg.MaxInFlight < 0 {
		problems = append(problems, "PGCRM_MAX_IN_FLIGHT: must be 1 or more")
	}
	if cfg.QuotaShare == 0 {
		cfg.QuotaShare = 1
	}
	if cfg.QuotaShare < 0 || cfg.QuotaShare > 1 {
		problems = append(problems, "PGCRM_QUOTA_SHARE: must be above 0% and at most 100%")
	}
	if cfg.Part == 0 {
		cfg.Part = 1
	}
	if cfg.DailyLimit < 0 {
		problems = append(problems, "PGCRM_DAILY_LIMIT: must be 1 or more")
	}
	if cfg.RateLimit.Calls < 0 || cfg.RateLimit.Calls > 0 && cfg.RateLimit.Per <= 0 {
		problems = append(problems, "PGCRM_RATE_LIMIT: must be auto, or calls and a window such as 50/10s")
	}
	if cfg.CallTimeout <= 0 {
		cfg.CallTimeout = 110 * time.Second
	}
	if cfg.MaxResponse <= 0 {
		cfg.MaxResponse = 64 << 20
	}
	if cfg.Stopping == nil {
		cfg.Stopping = context.Background()
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "pgcrm"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.ObserveCall == nil {
		cfg.ObserveCall = func(string, int, time.Duration) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = func() float64 { return 0.5 }
	}
	if problems != nil {
		return cfg, nil, &ConfigError{problems}
	}
	return cfg, base, nil
}

func parseBaseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	// The text of the error and of the URL may hold credentials: say neither.
	if err != nil || u.Host == "" || u.Hostname() == "" {
		return nil, errors.New("is not a URL such as " + DefaultBaseURL)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must be scheme, host and path alone: no credentials, query or fragment")
	}
	switch u.Scheme {
	case "https":
		return u, nil
	case "http":
		if privateHost(u.Hostname()) {
			return u, nil
		}
		return nil, fmt.Errorf("plain http would send the token in the clear to %s; use https, or an address that is loopback or private", u.Hostname())
	default:
		return nil, fmt.Errorf("scheme %q is neither https nor http", u.Scheme)
	}
}

// privateHost reports whether the host is loopback or private by its spelling:
// an address, or a name that only a private network gives, such as localhost or
// the one word by which containers call each other. What such a name resolves to
// is checked when a connection is made.
func privateHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return privateAddr(addr)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, suffix := range []string{".localhost", ".local", ".internal", ".svc"} {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return host != "" && !strings.Contains(host, ".")
}

func privateAddr(addr netip.Addr) bool {
	addr = addr.Unmap()
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
}
