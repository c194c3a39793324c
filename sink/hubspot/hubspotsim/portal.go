package hubspotsim

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Portal is a HubSpot portal. It is an [http.Handler] and safe for concurrent
// use.
type Portal struct {
	id          int64
	accountType string
	zone        *time.Location
	now         func() time.Time
	seed        uint64
	foldCase    bool
	maxBody     int64
	newDelay    time.Duration
	depth       int
	oauth       *OAuth
	closed      chan struct{}
	closeOnce   sync.Once
	calls       sync.Pool // of *call

	mu      sync.Mutex
	quirks  Quirks
	limits  Limits
	quota   quota
	tokens  map[string]*Token
	objects map[string]*objectType // by name and by type id
	lastID  int64
	journal journal
	faults  faults
	log     callLog
	stats   Stats
	number  uint64
}

// New makes a portal.
func New(o Options) *Portal {
	if len(o.Tokens) == 0 {
		o.Tokens = []Token{{Value: DefaultToken}}
	}
	if o.Limits == nil {
		l := DefaultLimits()
		o.Limits = &l
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.PortalID == 0 {
		o.PortalID = 21939747
	}
	if o.AccountType == "" {
		o.AccountType = "DEVELOPER_TEST"
	}
	if o.TimeZone == nil {
		o.TimeZone = eastern()
	}
	p := &Portal{
		id: o.PortalID, accountType: o.AccountType, zone: o.TimeZone, now: o.Now, seed: o.Seed,
		foldCase: o.Quirks.FoldCase == On, maxBody: o.MaxBodyBytes, newDelay: o.PropertyDelay, depth: o.HistoryDepth,
		closed: make(chan struct{}), quirks: o.Quirks,
		quota:   quota{windows: map[string]*window{}},
		tokens:  map[string]*Token{},
		objects: map[string]*objectType{},
		lastID:  9_000_000_000,
		journal: journal{limit: o.JournalLimit, hook: o.OnEntry},
		log:     callLog{off: o.JournalLimit < 0},
		stats:   newStats(),
	}
	p.calls.New = func() any { return &call{} }
	p.SetLimits(*o.Limits)
	for _, t := range o.Tokens {
		p.AddToken(t)
	}
	for _, s := range append(builtin(), o.Objects...) {
		t := newObjectType(s)
		p.objects[s.Name], p.objects[s.TypeID] = t, t
	}
	if o.OAuth != nil {
		app := *o.OAuth // its refresh token may rotate
		p.oauth = &app
	}
	for object, properties := range o.Properties {
		if err := p.Define(object, properties...); err != nil {
			panic(err) // options are code
		}
	}
	return p
}

// eastern is HubSpot's own time zone, or its offset where the machine has no
// time zone data.
func eastern() *time.Location {
	if zone, err := time.LoadLocation("America/New_York"); err == nil {
		return zone
	}
	return time.FixedZone("US/Eastern", -5*60*60)
}

// Close ends all delays. Requests that still wait to be applied late are
// dropped, and requests that hang are cut.
func (p *Portal) Close() { p.closeOnce.Do(func() { close(p.closed) }) }

// call is one request on its way through the portal.
type call struct {
	portal   *Portal
	number   uint64
	id       string // the correlation id
	rng      *rand.Rand
	route    route
	request  *http.Request
	received time.Time
	body     []byte
	batch    batch
	out      []byte
	order    []int

	token     *Token
	plan      plan
	late      bool
	normalise bool
	echoTrace bool
	gzip      bool
	// nameValues: refusals name the bad value.
	nameValues       bool
	created, updated stamp
	inputs           int
}

// ServeHTTP answers a call of the CRM API, or of the control interface.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_sim") {
		p.control(w, r)
		return
	}
	c := p.begin(r)
	start := p.now()
	status := 0
	defer func() { // also on the way out of a cut connection
		p.finish(c, status, start)
	}()
	status = c.serve(w, r)
}

func (p *Portal) begin(r *http.Request) *call {
	c, _ := p.calls.Get().(*call)
	p.mu.Lock()
	p.number++
	c.number = p.number
	q := p.quirks
	p.mu.Unlock()

	c.portal, c.request = p, r
	c.rng = rand.New(rand.NewPCG(p.seed, c.number)) //nolint:gosec // replayable on purpose
	c.id = c.newID()
	c.route = parsePath(r.Method, r.URL.Path)
	c.token, c.late, c.inputs, c.plan = nil, false, 0, plan{}
	c.normalise = q.Normalise.on(true, c.rng)
	c.echoTrace = q.EchoTrace.on(false, c.rng)
	c.gzip = q.Gzip.on(false, c.rng)
	c.nameValues = q.NameValues.on(true, c.rng)
	c.body, c.out = c.body[:0], c.out[:0]
	return c
}

func (p *Portal) finish(c *call, status int, start time.Time) {
	p.mu.Lock()
	end := p.now()
	p.stats.Calls[statKey(c.route.op, status)]++
	p.log.add(Call{
		Number: c.number, Time: start, Duration: end.Sub(start), Request: c.id, Op: c.route.op, Object: c.route.object,
		Inputs: c.inputs, Status: status, Fault: c.plan.name(),
	})
	p.mu.Unlock()
	c.request, c.rng = nil, nil
	c.batch.forget()
	p.calls.Put(c)
}

// forget drops what a kept batch would hold in memory.
func (b *batch) forget() {
	clear(b.inputs[:cap(b.inputs)])
	clear(b.props[:cap(b.props)])
	b.scan.text = nil
}

// newID draws a UUID from the call's own random numbers.
func (c *call) newID() string {
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:], c.rng.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], c.rng.Uint64())
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	var text [36]byte
	hex.Encode(text[:], raw[:4])
	hex.Encode(text[9:], raw[4:6])
	hex.Encode(text[14:], raw[6:8])
	hex.Encode(text[19:], raw[8:10])
	hex.Encode(text[24:], raw[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// sleep waits for d, or until the portal is closed or ctx is done. It says
// whether the time has passed.
func (p *Portal) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-p.closed:
	}
	return false
}

// answer does what the call asks for: credentials, limits, scopes, work.
func (c *call) answer() answer {
	p := c.portal
	if c.route.op == "" {
		return c.notFound()
	}
	if c.route.op == "method" {
		return c.refuse(http.StatusMethodNotAllowed, refusal{Message: "HTTP 405 Method Not Allowed"})
	}
	if c.route.op == "token" || c.route.op == "introspect" {
		return c.oauth()
	}
	if a, ok := c.authenticate(); !ok {
		return a
	}
	p.mu.Lock()
	v := p.admit(c.token, c.route.op == "search", p.now(), p.quirks.CountRefused.on(false, c.rng))
	p.mu.Unlock()
	var a answer
	if v.policy != "" {
		a = c.limited(v.policy, v.untilFree)
	} else {
		a = c.work()
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	v.header(a.header)
	return a
}

// work dispatches a call that is let in.
func (c *call) work() answer {
	switch c.route.op {
	case "account":
		return c.account()
	case "usage":
		return c.usage()
	}
	p := c.portal
	var malformed error
	switch c.route.op {
	case "update", "upsert", "create", "read", "archive":
		malformed = c.batch.parse(c.body) // the longest part needs no lock
		c.inputs = len(c.batch.inputs)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.objects[c.route.object]
	if o == nil {
		return c.invalid(nil, "Unable to infer object type from: %s", c.route.object)
	}
	if a, ok := c.permitted(o); !ok {
		return a
	}
	if a, ok := c.isJSON(); !ok {
		return a
	}
	if malformed != nil {
		return c.badJSON(c.body, malformed)
	}
	switch c.route.op {
	case "update", "upsert", "create":
		return c.write(o)
	case "read":
		return c.read(o)
	case "archive":
		return c.archiveBatch(o)
	case "get":
		return c.get(o)
	case "list":
		return c.list(o)
	case "patch", "post":
		return c.single(o)
	case "delete":
		return c.deleteOne(o)
	case "merge":
		return c.merge(o)
	}
	if strings.HasPrefix(c.route.op, "properties.") {
		return c.properties(o)
	}
	return c.notFound()
}

// isJSON insists on the content type that every documented example sends.
func (c *call) isJSON() (answer, bool) {
	if m := c.request.Method; m == http.MethodGet || m == http.MethodDelete {
		return answer{}, true
	}
	kind, _, _ := strings.Cut(c.request.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		return c.refuse(http.StatusUnsupportedMediaType, refusal{
			Message: fmt.Sprintf("HTTP 415 Unsupported Media Type: %q, want application/json", kind),
		}), false
	}
	return answer{}, true
}
