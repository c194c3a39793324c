package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/sink/hubspot/hubspotsim"
)

type simulator struct {
	listen      string
	companies   int
	faults      []string
	quirks      string
	properties  []string
	seed        uint64
	token       string
	unthrottled bool
	limit       string
	daily       int
	journal     int
	timeZone    string
	portalID    int64
}

// newSimulatorCommand makes the command. Closing stop ends it.
func newSimulatorCommand(stop <-chan struct{}) *cobra.Command {
	s := &simulator{}
	cmd := &cobra.Command{
		Use:   "simulator",
		Short: "A HubSpot that runs here: the API that pgcrm uses, with faults on request",
		Long: `Serves the part of HubSpot's CRM API that pgcrm uses, from memory: batch update,
upsert, create, read and archive, single records, lists, merges, properties,
account information, rate limits. It is stricter than HubSpot, and it fails and
lies on request. It prints one line when it is ready.

Faults are given as EFFECT or STATUS, then key=value pairs, several separated by
semicolons. Effects:
  NNN           an answer with this status: 429, 423, 477, 500, 502, 503, 504, 524 ...
  outage        503 for everything         daily       the daily limit is used up
  cut_before    the connection is closed, nothing was done
  cut_after     the work is done, and its answer lost
  cut_body      the connection is closed after half of the request
  delay_before, delay_after    wait (delay=2s) before or after the work
  truncate      half an answer, then closed    short       half an answer
  html          200 with a web page            empty       200 with nothing in it
  missing       some inputs (inputs=3) are neither in the results nor in the errors
  refuse        some inputs are invalid (contains=KEY, property=NAME)
  hang          no answer at all               late        done after delay=5s, when
                                                           the sender has given up
Keys: rate (0 to 1), times, skip, start, for, every, op (update, upsert, read,
write ...), object, contains, applied (the work is done all the same), delay,
inputs, property, retryAfter. "10%" is a mix of them that befalls one call in ten.

While it runs, faults come and go by HTTP, without a token:
  curl -X POST   URL/_sim/faults -d '{"effect":"status","status":503,"for":"30s"}'
  curl -X DELETE URL/_sim/faults
  curl URL/_sim/journal?since=0     every write that took effect, in order
  curl URL/_sim/objects/companies   what it holds; POST adds records
  curl URL/_sim/stats`,
		Example: `  pgcrm simulator --companies 300
  pgcrm simulator --faults 10%                            a bad day
  pgcrm simulator --faults outage,start=20s,for=30s       an outage of half a minute
  pgcrm simulator --faults 429,every=1m,for=10s           429 storms
  pgcrm simulator --faults 'missing,inputs=2,rate=0.3'    a 200 that lies
  pgcrm simulator --quirks hostile --seed 7               every open question of the API at random
  pgcrm simulator --property sla:enumeration=GOLD,SILVER --property contacts.crm_key:unique`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.run(cmd.Context(), stop, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.listen, "listen", "127.0.0.1:9850", "address to serve on; port 0 takes a free one")
	f.IntVar(&s.companies, "companies", 0, "companies that exist from the start, with account_id 1 to N")
	f.StringArrayVar(&s.faults, "faults", nil, "what goes wrong, see above; may be repeated")
	f.StringVar(&s.quirks, "quirks", "", `"hostile", or pairs such as echoTrace=on,updateErrorsPerInput=random`)
	f.StringArrayVar(&s.properties, "property", nil, "[OBJECT.]NAME:TYPE more than the usual ones; TYPE is string, number, bool, date, datetime, unique, enumeration=A,B or checkbox=A,B")
	f.Uint64Var(&s.seed, "seed", 1, "of faults and random answers")
	f.StringVar(&s.token, "token", hubspotsim.DefaultToken, "the token that it accepts")
	f.BoolVar(&s.unthrottled, "unthrottled", false, "no rate limits")
	f.StringVar(&s.limit, "limit", "100/10s", "calls in a rolling window")
	f.IntVar(&s.daily, "daily", 250_000, "calls a day, 0 for no limit")
	f.IntVar(&s.journal, "journal", 100_000, "writes to remember; 0 for all, -1 for none (fastest)")
	f.StringVar(&s.timeZone, "time-zone", "US/Eastern", "the account's; its midnight starts the day's calls anew")
	f.Int64Var(&s.portalID, "portal-id", 21939747, "the account's id")
	return cmd
}

func (s *simulator) run(ctx context.Context, stop <-chan struct{}, out, errOut io.Writer) error {
	portal, err := s.portal()
	if err != nil {
		return err
	}
	defer portal.Close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return &usageError{fmt.Sprintf("--listen %s: %v; choose another address, or port 0 for a free one", s.listen, err)}
	}
	srv := &http.Server{Handler: portal, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()

	host, port, _ := net.SplitHostPort(listener.Addr().String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		fmt.Fprintln(errOut, "pgcrm: the simulator's control interface asks for no token, and everyone who reaches this machine reaches it")
		host = "127.0.0.1"
	}
	if _, err := fmt.Fprintf(out, "HubSpot simulator is ready: HUBSPOT_BASE_URL=http://%s HUBSPOT_ACCESS_TOKEN=%s\n", net.JoinHostPort(host, port), s.token); err != nil {
		return errors.Join(err, srv.Close())
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	case <-stop:
	}
	portal.Close() // ends what hangs or waits
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		_ = srv.Close()
	}
	return nil
}

// portal makes the portal that the flags describe, or says all that is wrong
// with them.
func (s *simulator) portal() (*hubspotsim.Portal, error) {
	var wrong problems
	note := func(flag string, err error) {
		if err != nil {
			wrong.lines = append(wrong.lines, fmt.Sprintf("%s: %v", flag, err))
		}
	}
	o := hubspotsim.Options{
		PortalID: s.portalID, Seed: s.seed, JournalLimit: s.journal, HistoryDepth: 20,
		Tokens: []hubspotsim.Token{{Value: s.token}}, Properties: map[string][]hubspotsim.Property{},
	}
	if s.token == "" {
		note("--token", errors.New("must not be empty"))
	}
	if s.journal < 0 {
		o.HistoryDepth = 0
	}
	if s.companies < 0 {
		note("--companies", errors.New("must not be below 0"))
	}
	limits, err := s.limits()
	note("--limit", err)
	o.Limits = &limits
	o.Quirks, err = parseQuirks(s.quirks)
	note("--quirks", err)
	o.TimeZone, err = time.LoadLocation(s.timeZone)
	note("--time-zone", err)
	for object, properties := range simulatorProperties() {
		o.Properties[object] = properties
	}
	for _, spec := range s.properties {
		object, property, err := parseProperty(spec)
		note("--property "+spec, err)
		o.Properties[object] = append(o.Properties[object], property)
	}
	var faults []hubspotsim.Fault
	for _, spec := range s.faults {
		fs, err := hubspotsim.ParseFaults(spec)
		note("--faults", err)
		faults = append(faults, fs...)
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	portal := hubspotsim.New(o)
	if err := portal.AddFaults(faults...); err != nil {
		return nil, err
	}
	_, err = portal.Seed("companies", simulatorCompanies(s.companies)...)
	return portal, err
}

func (s *simulator) limits() (hubspotsim.Limits, error) {
	if s.unthrottled {
		return hubspotsim.Unthrottled(), nil
	}
	l := hubspotsim.DefaultLimits()
	calls, window, _ := strings.Cut(s.limit, "/")
	n, err := strconv.Atoi(calls)
	d, errWindow := time.ParseDuration(window)
	if err != nil || errWindow != nil || n <= 0 || d <= 0 {
		return l, fmt.Errorf("%q is not a number of calls and a window, such as 100/10s", s.limit)
	}
	l.Calls, l.Window, l.Daily = n, d, max(0, s.daily)
	return l, nil
}

// parseQuirks reads "hostile" or pairs by the names of the control interface.
func parseQuirks(text string) (hubspotsim.Quirks, error) {
	var q hubspotsim.Quirks
	if text == "hostile" {
		return hubspotsim.Hostile(), nil
	}
	pairs := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if pair = strings.TrimSpace(pair); pair != "" {
			name, play, _ := strings.Cut(pair, "=")
			pairs[name] = play
		}
	}
	body, err := json.Marshal(pairs)
	if err != nil {
		return q, err
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return q, fmt.Errorf("%w; give \"hostile\", or pairs such as echoTrace=on", err)
	}
	return q, nil
}

// parseProperty reads [OBJECT.]NAME:TYPE[=A,B].
func parseProperty(spec string) (object string, _ hubspotsim.Property, _ error) {
	name, typ, found := strings.Cut(spec, ":")
	object = "companies"
	if o, n, dotted := strings.Cut(name, "."); dotted {
		object, name = o, n
	}
	typ, list, _ := strings.Cut(typ, "=")
	simple := map[string]func(string) hubspotsim.Property{
		"string": hubspotsim.Text, "number": hubspotsim.Number, "bool": hubspotsim.Bool,
		"date": hubspotsim.Date, "datetime": hubspotsim.DateTime, "unique": hubspotsim.Unique,
	}
	known := map[string]bool{"companies": true, "contacts": true, "deals": true, "tickets": true, "products": true, "line_items": true}
	switch define, ok := simple[typ]; {
	case !found || name == "":
		return object, hubspotsim.Property{}, errors.New("give [OBJECT.]NAME:TYPE")
	case !known[object]:
		return object, hubspotsim.Property{}, fmt.Errorf("there is no object %q", object)
	case ok && list == "":
		return object, define(name), nil
	case typ == "enumeration" && list != "":
		return object, hubspotsim.Enum(name, strings.Split(list, ",")...), nil
	case typ == "checkbox" && list != "":
		return object, hubspotsim.Checkboxes(name, strings.Split(list, ",")...), nil
	}
	return object, hubspotsim.Property{}, fmt.Errorf("type %q is not one of string, number, bool, date, datetime, unique, enumeration=A,B, checkbox=A,B", typ)
}
