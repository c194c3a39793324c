package hubspotsim

import (
	"net/http"
	"strconv"
	"time"
)

// plenty stands in the headers of a portal without limits.
const plenty = 1_000_000_000

// window counts calls in a rolling interval: the k-th call is allowed once the
// call k-limit is a whole interval old.
type window struct {
	times []time.Time // a ring of the last calls that counted
	head  int         // where the oldest stands
	count int
}

// spend forgets what is older than the interval and counts one more call if
// fewer than limit are left.
func (w *window) spend(now time.Time, limit int, interval time.Duration, force bool) bool {
	if len(w.times) < limit {
		w.grow(limit)
	}
	w.expire(now, interval)
	if w.count >= limit && !force {
		return false
	}
	if w.count == len(w.times) { // forced beyond the limit
		w.head = (w.head + 1) % len(w.times)
		w.count--
	}
	w.times[(w.head+w.count)%len(w.times)] = now
	w.count++
	return true
}

func (w *window) expire(now time.Time, interval time.Duration) {
	for w.count > 0 && now.Sub(w.times[w.head]) >= interval {
		w.head = (w.head + 1) % len(w.times)
		w.count--
	}
}

func (w *window) grow(n int) {
	times := make([]time.Time, n)
	for i := range w.count {
		times[i] = w.times[(w.head+i)%len(w.times)]
	}
	w.times, w.head = times, 0
}

// quota is what a portal has spent. It is guarded by Portal.mu.
type quota struct {
	windows map[string]*window // by token
	search  window
	day     [3]int // the account's date that daily belongs to
	daily   int
}

// turn starts a new count at the account's midnight.
func (q *quota) turn(local time.Time) {
	if y, m, d := local.Date(); q.day != [3]int{y, int(m), d} {
		q.day, q.daily = [3]int{y, int(m), d}, 0
	}
}

// verdict says whether a call may go on, and what its headers show.
type verdict struct {
	policy        string // TEN_SECONDLY_ROLLING, DAILY or SECONDLY; empty if allowed
	remaining     int
	dailyLeft     int
	limits        Limits
	oauth, search bool
	untilFree     time.Duration
}

// admit counts one call of the token.
func (p *Portal) admit(t *Token, search bool, now time.Time, countRefused bool) verdict {
	l, q := p.limits, &p.quota
	v := verdict{limits: l, oauth: t.OAuth, search: search, remaining: plenty, dailyLeft: plenty}
	q.turn(now.In(p.zone))
	if l.Daily > 0 && !t.OAuth {
		if q.daily >= l.Daily {
			v.policy = "DAILY"
		}
		v.dailyLeft = max(0, l.Daily-q.daily-1)
	}
	if search {
		if v.policy == "" && l.SearchPerSecond > 0 && !q.search.spend(now, l.SearchPerSecond, time.Second, false) {
			v.policy = "SECONDLY"
		}
	} else if l.Calls > 0 {
		w := q.windows[t.Value]
		if w == nil {
			w = &window{}
			q.windows[t.Value] = w
		}
		if v.policy == "" && !w.spend(now, l.Calls, l.Window, false) {
			v.policy = "TEN_SECONDLY_ROLLING"
			if countRefused {
				w.spend(now, l.Calls, l.Window, true)
			}
		}
		w.expire(now, l.Window)
		v.remaining = max(0, l.Calls-w.count)
		if w.count > 0 {
			v.untilFree = l.Window - now.Sub(w.times[w.head])
		}
	}
	if v.policy == "" || countRefused {
		q.daily++
	}
	return v
}

func (v *verdict) header(h http.Header) {
	if v.search {
		return // searches are documented to carry none
	}
	calls, window := v.limits.Calls, v.limits.Window
	if calls == 0 {
		calls = plenty
	}
	set := func(name string, n int64) { h.Set(name, strconv.FormatInt(n, 10)) }
	set("X-HubSpot-RateLimit-Max", int64(calls))
	set("X-HubSpot-RateLimit-Remaining", int64(v.remaining))
	set("X-HubSpot-RateLimit-Interval-Milliseconds", window.Milliseconds())
	set("X-HubSpot-RateLimit-Secondly", int64(max(1, calls/10)))
	set("X-HubSpot-RateLimit-Secondly-Remaining", int64(max(0, calls/10-1)))
	if !v.oauth {
		daily := v.limits.Daily
		if daily == 0 {
			daily = plenty
		}
		set("X-HubSpot-RateLimit-Daily", int64(daily))
		set("X-HubSpot-RateLimit-Daily-Remaining", int64(v.dailyLeft))
	}
}

// limited is the 429 of the policy, with the body that each is known by.
func (c *call) limited(policy string, wait time.Duration) answer {
	r := refusal{PolicyName: policy, ErrorType: "RATE_LIMIT"}
	switch policy {
	case "DAILY":
		r.Message, r.RequestID = "You have reached your daily limit.", c.id
	case "SECONDLY":
		r = refusal{Message: "You have reached your secondly limit.", Category: "RATE_LIMITS"}
	default:
		r.Message = "You have reached your ten_secondly_rolling limit."
		r.GroupName = "publicapi:private_app-api-calls-ten-secondly:1512050:" + strconv.FormatInt(c.portal.id, 10)
	}
	a := c.refuse(http.StatusTooManyRequests, r)
	if c.portal.quirks.RetryAfter.on(false, c.rng) {
		a.header = http.Header{"Retry-After": {strconv.Itoa(int(max(1, (wait+time.Second-1)/time.Second)))}}
	}
	return a
}
