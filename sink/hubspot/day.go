package hubspot

import "time"

// day keeps the account's daily calls, which HubSpot counts from midnight to
// midnight in the account's time zone.
type day struct {
	share   float64 // of the account's calls that may be used up
	ceiling int     // on calls of this process, 0: none
	part    float64 // of what is left when it is first known
	rand    func() float64
	loc     *time.Location // nil until account details are known

	known     bool
	limit     int // the account's, from the headers
	remaining int
	own       int // calls of this process since midnight
	granted   int // calls of this process, where it uses a part; 0: not known yet
	ends      time.Time
	exhausted bool // HubSpot has said so

	// credit is what the pace of the day has saved up: calls that may be made at
	// once without spending what the rest of the day needs.
	credit float64
	fed    time.Time // when credit was last brought up to date
}

// unknownMidnight is how long to wait for a new day where the account's time
// zone is not known.
const unknownMidnight = time.Hour

// creditSpan is the time whose calls can be saved up.
const creditSpan = 10 * time.Minute

// setLocation tells the account's time zone.
func (g *governor) setLocation(loc *time.Location) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.day.loc = loc
	g.day.ends = time.Time{}
}

// turn begins a new day once the old one is over.
func (d *day) turn(now time.Time) {
	if now.Before(d.ends) {
		return
	}
	if !d.ends.IsZero() {
		d.own, d.granted, d.exhausted, d.remaining = 0, 0, false, d.limit
		d.fed = time.Time{}
	}
	d.ends = d.midnight(now)
}

// midnight is the next one of the account, and a little later, since clocks
// differ and every program wakes at midnight.
func (d *day) midnight(now time.Time) time.Time {
	loc := d.loc
	if loc == nil {
		loc = time.UTC
	}
	y, m, dd := now.In(loc).Date()
	end := time.Date(y, m, dd+1, 0, 0, 5, 0, loc)
	return end.Add(time.Duration(d.rand() * float64(20*time.Second)))
}

// left is the number of calls that may still be made today, and whether there
// is such a number at all.
func (d *day) left() (int, bool) {
	n, bounded := 0, false
	if d.known {
		n, bounded = d.remaining-int((1-d.share)*float64(d.limit)), true
	}
	for _, most := range [...]int{d.ceiling, d.granted} {
		if most > 0 && (!bounded || most-d.own < n) {
			n, bounded = most-d.own, true
		}
	}
	return n, bounded
}

// grant allots this process its part of what is left.
func (d *day) grant() {
	if n, bounded := d.left(); d.part < 1 && d.granted == 0 && bounded {
		d.granted = d.own + max(int(d.part*float64(n)), 1)
	}
}

func (d *day) spend(now time.Time) {
	d.grant()
	d.feed(now)
	d.own++
	if d.known {
		d.remaining--
	}
	d.credit--
}

func (d *day) observe(now time.Time, limit, remaining int, ok bool) {
	d.turn(now)
	if limit <= 0 {
		return
	}
	d.limit = limit
	if ok {
		if !d.known {
			d.granted = 0 // of the operator's limit alone
		}
		d.known, d.remaining = true, remaining
		d.grant()
	}
}

// exhaust notes that HubSpot refuses calls until midnight.
func (d *day) exhaust(now time.Time) {
	d.turn(now)
	d.exhausted = true
	d.remaining = 0
	if d.loc == nil {
		d.ends = now.Add(unknownMidnight)
	}
}

func (d *day) wait(now time.Time) time.Duration {
	d.turn(now)
	if n, bounded := d.left(); d.exhausted || bounded && n <= 0 {
		return d.ends.Sub(now)
	}
	return 0
}

// pace is the calls per second that last until midnight; 0 where nothing
// bounds them.
func (d *day) pace(now time.Time) float64 {
	n, bounded := d.left()
	if !bounded {
		return 0
	}
	return max(float64(n), 0.1) / max(d.ends.Sub(now).Seconds(), 1)
}

// feed adds to the credit what the pace has given since the last time.
func (d *day) feed(now time.Time) {
	pace := d.pace(now)
	span := pace * creditSpan.Seconds()
	if d.fed.IsZero() {
		d.credit = span
	} else {
		d.credit = min(span, d.credit+pace*now.Sub(d.fed).Seconds())
	}
	d.fed = now
}

// hold is how long a change should wait for company so that the day's calls
// last to midnight: nothing while half the credit is left, then growing, past
// the time between two calls at the pace where the credit is overdrawn.
func (d *day) hold(now time.Time) time.Duration {
	d.turn(now)
	pace := d.pace(now)
	if pace == 0 {
		return 0
	}
	d.feed(now)
	half := pace * creditSpan.Seconds() / 2
	if d.credit >= half {
		return 0
	}
	seconds := (half - d.credit) / half / pace
	return time.Duration(min(seconds, d.ends.Sub(now).Seconds()) * float64(time.Second))
}
