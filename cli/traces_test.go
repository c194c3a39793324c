package cli

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	span "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink"
)

func TestTracesAreOffUnlessAskedFor(t *testing.T) {
	for env, want := range map[string]bool{
		"":                    false,
		"OTEL_SERVICE_NAME=x": false,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4318":                             true,
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://otel:4318/v1":                   true,
		"OTEL_TRACES_EXPORTER=otlp":                                                true,
		"OTEL_EXPORTER_OTLP_ENDPOINT=":                                             false,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4318 OTEL_TRACES_EXPORTER=none":   false,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4318 OTEL_SDK_DISABLED=true":      false,
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://otel:4318 OTEL_LOGS_EXPORTER=": false,
	} {
		if got := wantsTraces(strings.Fields(env)); got != want {
			t.Errorf("%s: %v", env, got)
		}
	}
}

// receiver takes traces over OTLP.
type receiver struct {
	mu    sync.Mutex
	raw   []byte
	spans []*span.Span
	names []string // of services
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var body io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	raw, err := io.ReadAll(body)
	var got collector.ExportTraceServiceRequest
	if err := errors.Join(err, proto.Unmarshal(raw, &got)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw = append(r.raw, raw...)
	for _, rs := range got.GetResourceSpans() {
		for _, a := range rs.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				r.names = append(r.names, a.GetValue().GetStringValue())
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			r.spans = append(r.spans, ss.GetSpans()...)
		}
	}
}

func TestASpanForEachBatch(t *testing.T) {
	recv := &receiver{}
	srv := httptest.NewServer(recv)
	t.Cleanup(srv.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
	t.Setenv("OTEL_SERVICE_NAME", "crm-sync")
	traces, err := newTraces(t.Context(), slog.New(slog.DiscardHandler), "7311")
	if err != nil {
		t.Fatal(err)
	}
	target := &change.Target{Object: "companies", Match: "account_id", Properties: []string{"name"}}
	src := &change.Source{Table: "public.accounts", Target: target}
	const secret = "a secret value"
	entry := func(lsn change.LSN) *sink.Entry {
		return &sink.Entry{
			Source: src, Key: secret, Row: secret, Props: change.Props{}.Append(0, change.Set, []byte(secret)),
			First: change.Position{LSN: lsn}, Since: time.Now(),
		}
	}
	_, end := traces.batch(t.Context(), target, []*sink.Entry{entry(0x16B3748), entry(0x16B3748), entry(0x16B3799)})
	end(map[string]int{"delivered": 2, "parked": 1}, nil)
	var many []*sink.Entry
	for i := range linksAtMost + 20 {
		many = append(many, entry(change.LSN(i+1)))
	}
	_, end = traces.batch(t.Context(), target, many)
	end(nil, errors.New("about "+secret))
	traces.close(t.Context())

	recv.mu.Lock()
	defer recv.mu.Unlock()
	if len(recv.spans) != 2 {
		t.Fatalf("%d spans", len(recv.spans))
	}
	if len(recv.names) == 0 || recv.names[0] != "crm-sync" {
		t.Errorf("the service is named %q", recv.names)
	}
	first, second := recv.spans[0], recv.spans[1]
	attributes := map[string]string{}
	for _, a := range first.GetAttributes() {
		attributes[a.GetKey()] = a.GetValue().String()
	}
	if first.GetName() != "deliver companies" || !strings.Contains(attributes["pgcrm.records"], "3") || !strings.Contains(attributes["pgcrm.records.delivered"], "2") {
		t.Errorf("%s with %v", first.GetName(), attributes)
	}
	if len(first.GetLinks()) != 2 || len(second.GetLinks()) != linksAtMost {
		t.Errorf("%d and %d links", len(first.GetLinks()), len(second.GetLinks()))
	}
	want := transactionSpan("7311", 0x16B3748)
	id := want.TraceID()
	if got := first.GetLinks()[0]; !bytes.Equal(got.GetTraceId(), id[:]) || !want.IsValid() {
		t.Errorf("the link leads to %x", got.GetTraceId())
	}
	if second.GetStatus().GetCode() != span.Status_STATUS_CODE_ERROR {
		t.Error("a batch that failed is not shown as such")
	}
	if bytes.Contains(recv.raw, []byte(secret)) {
		t.Error("a value of a row is in the trace")
	}
}
