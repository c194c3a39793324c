package hubspot

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// rolling counts as HubSpot does: a call is let through if fewer than limit were
// let through in the interval before it.
type rolling struct {
	mu       sync.Mutex
	limit    int
	interval time.Duration
	times    []time.Time
	let      int
	refused  int
	headers  bool
	latency  func() (before, after time.Duration)
}

func (s *rolling) hit(now time.Time) (ok bool, remaining int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.times) > 0 && now.Sub(s.times[0]) >= s.interval {
		s.times = s.times[1:]
	}
	if len(s.times) >= s.limit {
		s.refused++
		return false, 0
	}
	s.let++
	s.times = append(s.times, now)
	return true, s.limit - len(s.times)
}

func (s *rolling) portal() *portal {
	return &portal{answer: func(request) (int, map[string]string, string) {
		before, after := s.latency()
		time.Sleep(before)
		ok, remaining := s.hit(time.Now())
		time.Sleep(after)
		header := map[string]string{}
		if s.headers {
			header["X-HubSpot-RateLimit-Max"] = strconv.Itoa(s.limit)
			header["X-HubSpot-RateLimit-Remaining"] = strconv.Itoa(remaining)
			header["X-HubSpot-RateLimit-Interval-Milliseconds"] = strconv.FormatInt(s.interval.Milliseconds(), 10)
		}
		if !ok {
			return 429, header, `{"policyName":"TEN_SECONDLY_ROLLING","message":"You have reached your ten_secondly_rolling limit."}`
		}
		return 200, header, goodAnswer
	}}
}

// load calls as fast as the client lets it for a while.
func load(t *testing.T, c *Client, workers int, d time.Duration) {
	t.Helper()
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for time.Now().Before(end) {
				if _, err := c.BatchUpdate(t.Context(), "companies", oneInput); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// latencies spreads the way to the server over up to slack, and the work of the
// server over up to most.
func latencies(seed uint64, most time.Duration) func() (time.Duration, time.Duration) {
	r := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	return func() (time.Duration, time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(r.Int64N(int64(slack))), time.Duration(r.Int64N(int64(most) + 1))
	}
}

func TestTheWindowIsUsedAndNotExceeded(t *testing.T) {
	for _, tt := range []struct {
		name    string
		limit   int
		workers int
		headers bool
		ceiling RateLimit
		atLeast float64 // of the server's window, or of the ceiling
		of      int
	}{
		{name: "assumed", limit: 100, workers: 8, atLeast: 0.97, of: 100},
		{name: "smaller window told by headers", limit: 40, workers: 8, headers: true, atLeast: 0.97, of: 40},
		{name: "larger window told by headers", limit: 190, workers: 16, headers: true, atLeast: 0.97, of: 190},
		{name: "ceiling", limit: 100, workers: 8, headers: true, ceiling: RateLimit{50, 10 * time.Second}, atLeast: 0.97, of: 50},
		{name: "ceiling above the window", limit: 100, workers: 8, headers: true, ceiling: RateLimit{500, 10 * time.Second}, atLeast: 0.97, of: 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const d = 4 * time.Minute
				s := &rolling{limit: tt.limit, interval: 10 * time.Second, headers: tt.headers, latency: latencies(7, 300*time.Millisecond)}
				c := newTestClient(t, s.portal(), func(cfg *Config) {
					cfg.RateLimit = tt.ceiling
					cfg.MaxInFlight = tt.workers
				})
				load(t, c, tt.workers, d)
				most := float64(tt.of) * d.Seconds() / 10
				if used := float64(s.let) / most; used < tt.atLeast {
					t.Errorf("%.1f %% of the window used", 100*used)
				}
				if s.refused*1000 > s.let {
					t.Errorf("%d calls of %d refused", s.refused, s.let+s.refused)
				}
				t.Logf("%d of %.0f calls, %d refused", s.let, most, s.refused)
			})
		})
	}
}

// Another program shares the token: the headers tell of its calls.
func TestCallsOfOthersAreRespected(t *testing.T) {
	for _, headers := range []bool{true, false} {
		t.Run(fmt.Sprint("headers ", headers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const d = 10 * time.Minute
				s := &rolling{limit: 100, interval: 10 * time.Second, headers: headers, latency: latencies(9, 100*time.Millisecond)}
				p := s.portal()
				c := newTestClient(t, p, nil)
				theirs := 0
				var wg sync.WaitGroup
				wg.Go(func() {
					for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
						if ok, _ := s.hit(time.Now()); ok {
							theirs++
						} else {
							s.mu.Lock()
							s.refused-- // theirs to count
							s.mu.Unlock()
						}
					}
				})
				load(t, c, 4, d)
				wg.Wait()
				ours := s.let - theirs
				if ours < 6000-2400-600 {
					t.Errorf("only %d calls", ours)
				}
				if headers && s.refused*100 > ours {
					t.Errorf("%d of %d calls refused", s.refused, ours)
				}
				t.Logf("%d ours, %d theirs, %d refused", ours, theirs, s.refused)
			})
		})
	}
}

func TestTheDailyLimitWaitsForTheAccountsMidnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is 2000-01-01 00:00 UTC, 19:00 in New York
		var open atomic.Bool
		p := &portal{answer: func(r request) (int, map[string]string, string) {
			switch {
			case r.url == "/account-info/v3/details":
				return 200, nil, `{"portalId":7,"accountType":"STANDARD","timeZone":"US/Eastern","utcOffsetMilliseconds":-18000000}`
			case open.Load():
				return 200, nil, goodAnswer
			}
			return 429, nil, `{"message":"You have reached your daily limit.","policyName":"DAILY"}`
		}}
		c := newTestClient(t, p, nil)
		if a, err := c.Account(t.Context()); err != nil || a.PortalID != 7 || a.TimeZone != "US/Eastern" {
			t.Fatalf("%+v %v", a, err)
		}
		start := time.Now()
		midnight := start.Add(5 * time.Hour)
		time.AfterFunc(midnight.Sub(start), func() { open.Store(true) })
		if _, err := c.BatchUpdate(t.Context(), "companies", oneInput); err != nil {
			t.Fatal(err)
		}
		if late := time.Since(midnight); late < 0 || late > time.Minute {
			t.Errorf("went on %v after midnight", late)
		}
		if n := p.count(); n != 3 {
			t.Errorf("%d requests: it polled", n)
		}
	})
}

func TestAnAccountWithoutAPortalIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &portal{answer: func(r request) (int, map[string]string, string) {
			return 200, nil, []string{`{"status":"COMPLETE","results":[]}`, `{"portalId":0}`, `{"portalId":7}`}[r.n-1]
		}}
		if a, err := newTestClient(t, p, nil).Account(t.Context()); err != nil || a.PortalID != 7 {
			t.Errorf("%+v %v", a, err)
		}
	})
}

func TestAnObjectWithoutPropertiesIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &portal{answer: func(r request) (int, map[string]string, string) {
			if r.n == 2 {
				return 200, nil, `{"results":[{"name":"name"}]}`
			}
			return 200, nil, `{"status":"COMPLETE","results":[]}`
		}}
		if found, err := newTestClient(t, p, nil).Properties(t.Context(), "companies"); err != nil || len(found) != 1 {
			t.Errorf("%+v %v", found, err)
		}
	})
}

func TestQuotaShareLeavesCallsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remaining := 1000
		var mu sync.Mutex
		p := &portal{answer: func(request) (int, map[string]string, string) {
			mu.Lock()
			defer mu.Unlock()
			remaining--
			return 200, map[string]string{"X-HubSpot-RateLimit-Daily": "1000", "X-HubSpot-RateLimit-Daily-Remaining": strconv.Itoa(remaining)}, goodAnswer
		}}
		c := newTestClient(t, p, func(cfg *Config) { cfg.QuotaShare = 0.8 })
		load(t, c, 4, time.Hour) // ends when the day's calls are used and a new day has begun
		if used := p.count(); used < 800 || used > 810 {
			t.Errorf("%d calls used of 800", used)
		}
	})
}

// Of two processes with one token, one that uses a part leaves the rest to the
// other, and takes no more of the day than its part.
func TestAPartLeavesCallsForAnother(t *testing.T) {
	for name, tt := range map[string]struct {
		rate  RateLimit
		share float64
		daily int
		busy  bool // the other one calls as fast as it may
		most  int
	}{
		"of the window":                     {most: 25 * 60},
		"of the window, and the other busy": {most: 25 * 60, busy: true},
		"of the operator's limit":           {rate: RateLimit{40, 10 * time.Second}, most: 10 * 60},
		"of what the day has":               {share: 0.8, daily: 5000, most: (4000 - 1000) / 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &rolling{limit: 100, interval: 10 * time.Second, headers: true, latency: latencies(11, 50*time.Millisecond)}
				p := s.portal()
				answer, left := p.answer, tt.daily-1000 // others have made some calls before
				var mu sync.Mutex
				p.answer = func(r request) (int, map[string]string, string) {
					status, header, body := answer(r)
					if tt.daily > 0 {
						mu.Lock()
						defer mu.Unlock()
						left--
						header["X-HubSpot-RateLimit-Daily"], header["X-HubSpot-RateLimit-Daily-Remaining"] = strconv.Itoa(tt.daily), strconv.Itoa(left)
					}
					return status, header, body
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				calls := func(n *int, part float64) *Client {
					c := newTestClient(t, p, func(cfg *Config) { cfg.RateLimit, cfg.QuotaShare, cfg.Part = tt.rate, tt.share, part })
					for range 4 {
						wg.Go(func() {
							for {
								if _, err := c.BatchUpdate(ctx, "companies", oneInput); err != nil {
									return
								}
								mu.Lock()
								*n++
								mu.Unlock()
							}
						})
					}
					return c
				}
				var all, part int
				if tt.busy {
					calls(&all, 0)
				}
				c := calls(&part, 0.25)
				wg.Wait()
				t.Logf("%d calls by the one that uses a quarter, %d by the other", part, all)
				if part > tt.most+25 || !tt.busy && part < tt.most*95/100 {
					t.Errorf("%d calls, not %d", part, tt.most)
				}
				if tt.busy && (all < 70*60 || part < 60) {
					t.Errorf("%d calls are left to the other", all)
				}
				if q := c.Quota(); tt.daily > 0 && (q.DailyLeft > 0 || time.Until(q.BlockedUntil) < time.Hour) {
					t.Errorf("the quota says %+v", q)
				}
			})
		})
	}
}

func TestDailyLimitOfTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := fixed(200, goodAnswer)
		c := newTestClient(t, p, func(cfg *Config) { cfg.DailyLimit = 50 })
		start := time.Now()
		for range 120 {
			if _, err := c.BatchUpdate(t.Context(), "companies", oneInput); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d < 48*time.Hour || d > 49*time.Hour {
			t.Errorf("120 calls took %v", d)
		}
	})
}

func TestGatherGrowsAsTheWindowGetsScarce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, fixed(200, goodAnswer), nil)
		const most = time.Second
		last := time.Duration(0)
		for i := range 100 {
			got := c.Gather(most)
			switch {
			case got < last:
				t.Errorf("%d calls: %v after %v", i, got, last)
			case i <= 50 && got != 0, i >= 91 && got != most:
				t.Errorf("%d calls: %v", i, got)
			}
			last = got
			if c.Gather(0) != 0 {
				t.Error("held although never to be")
			}
			if _, err := c.BatchUpdate(t.Context(), "companies", oneInput); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(11 * time.Second)
		if got := c.Gather(most); got != 0 {
			t.Errorf("held %v with an empty window", got)
		}
	})
}

// Where one change a second would use up the day's calls by noon, changes are
// held so that they last to midnight.
func TestGatherStretchesTheDaysCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const daily = 40_000
		remaining := daily
		p := &portal{answer: func(request) (int, map[string]string, string) {
			remaining--
			return 200, map[string]string{"X-HubSpot-RateLimit-Daily": strconv.Itoa(daily), "X-HubSpot-RateLimit-Daily-Remaining": strconv.Itoa(remaining)}, goodAnswer
		}}
		c := newTestClient(t, p, nil)
		longest := time.Duration(0)
		midnight := time.Now().Add(24 * time.Hour)
		for time.Now().Before(midnight.Add(-time.Minute)) {
			// A change has just come: it is held for Gather, then sent with those
			// that came meanwhile. Another comes within a second.
			hold := c.Gather(time.Second)
			longest = max(longest, hold)
			time.Sleep(hold + time.Second)
			if _, err := c.BatchUpdate(t.Context(), "companies", oneInput); err != nil {
				t.Fatal(err)
			}
			p.requests = p.requests[:0]
		}
		if remaining < 0 || remaining > daily/10 {
			t.Errorf("%d calls left at midnight", remaining)
		}
		if longest > time.Minute {
			t.Errorf("a change was held %v", longest)
		}
		t.Logf("%d calls left, held %v at most", remaining, longest)
	})
}

func TestReadyWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, fixed(200, goodAnswer), func(cfg *Config) { cfg.RateLimit = RateLimit{2, 10 * time.Second} })
		start := time.Now()
		for range 2 {
			if err := c.Ready(t.Context(), "companies"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.BatchUpdate(t.Context(), "companies", oneInput); err != nil {
				t.Fatal(err)
			}
		}
		if time.Since(start) != 0 {
			t.Errorf("waited %v", time.Since(start))
		}
		if q := c.Quota(); q.WindowLimit != 2 || q.WindowRemaining != 0 || q.DailyKnown {
			t.Errorf("%+v", q)
		}
		if err := c.Ready(t.Context(), "companies"); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 10*time.Second+slack {
			t.Errorf("ready after %v", d)
		}
	})
}

func TestCallsInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		in, most := 0, 0
		p := &portal{answer: func(request) (int, map[string]string, string) {
			mu.Lock()
			in++
			most = max(most, in)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			in--
			mu.Unlock()
			return 200, nil, goodAnswer
		}}
		c := newTestClient(t, p, func(cfg *Config) { cfg.MaxInFlight = 3 })
		load(t, c, 10, 10*time.Second)
		if most != 3 {
			t.Errorf("%d calls at one time", most)
		}
	})
}
