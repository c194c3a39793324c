package cli

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/sink"
)

const (
	// linksAtMost bounds the transactions that one span names.
	linksAtMost = 100
	// tracesWithin is how long the last spans may take to leave.
	tracesWithin = 3 * time.Second
)

// traces sends a span for each batch over OTLP. A span names tables, positions
// and counts, and no value of a row.
type traces struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	systemID string
}

// wantsTraces reports whether OpenTelemetry's own variables ask for traces. The
// exporter reads them itself.
func wantsTraces(environ []string) bool {
	env := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = strings.TrimSpace(value)
	}
	switch {
	case strings.EqualFold(env["OTEL_SDK_DISABLED"], "true"), env["OTEL_TRACES_EXPORTER"] == "none":
		return false
	}
	return env["OTEL_EXPORTER_OTLP_ENDPOINT"] != "" || env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] != "" || env["OTEL_TRACES_EXPORTER"] == "otlp"
}

// newTraces makes the exporter. It connects to nothing before there is a span,
// and a receiver that does not answer delays no delivery.
func newTraces(ctx context.Context, log *slog.Logger, systemID string) (*traces, error) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces_not_sent", "error", err) }))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	// What the environment says comes last, and so wins.
	named, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "pgcrm"), attribute.String("service.version", version)),
		resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, err
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(named))
	return &traces{provider: provider, tracer: provider.Tracer("github.com/pgcrm/pgcrm"), systemID: systemID}, nil
}

// batch implements pipeline.Config.Trace.
func (t *traces) batch(ctx context.Context, target *change.Target, batch []*sink.Entry) (context.Context, func(map[string]int, error)) {
	ctx, span := t.tracer.Start(ctx, "deliver "+target.Object, trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(t.links(batch)...),
		trace.WithAttributes(
			attribute.String("pgcrm.object", target.Object),
			attribute.String("pgcrm.match", target.Match),
			attribute.Int("pgcrm.records", len(batch)),
		))
	return ctx, func(outcomes map[string]int, err error) {
		for name, n := range outcomes {
			span.SetAttributes(attribute.Int("pgcrm.records."+name, n))
		}
		if err != nil {
			// The words of the error may quote a record.
			span.SetStatus(codes.Error, "the batch was not brought to its end; pgcrm's log says why")
		}
		span.End()
	}
}

// links name the transactions whose changes the batch carries, the oldest of each
// record. Their ids are made of the position, so that whatever else traces the
// same transaction can be found.
func (t *traces) links(batch []*sink.Entry) []trace.Link {
	var links []trace.Link
	seen := map[change.LSN]bool{}
	for _, e := range batch {
		if seen[e.First.LSN] || len(links) == linksAtMost {
			continue
		}
		seen[e.First.LSN] = true
		links = append(links, trace.Link{
			SpanContext: transactionSpan(t.systemID, e.First.LSN),
			Attributes: []attribute.KeyValue{
				attribute.String("pgcrm.table", e.Source.Table),
				attribute.String("pgcrm.commit_lsn", e.First.LSN.String()),
				attribute.String("pgcrm.committed_at", e.Since.UTC().Format(time.RFC3339Nano)),
			},
		})
	}
	return links
}

// transactionSpan is the identity of a transaction in traces: the start of a hash
// of server and commit position.
func transactionSpan(systemID string, commit change.LSN) trace.SpanContext {
	hash := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("transaction "+systemID+" "), uint64(commit)))
	var cfg trace.SpanContextConfig
	copy(cfg.TraceID[:], hash[:16])
	copy(cfg.SpanID[:], hash[16:24])
	return trace.NewSpanContext(cfg)
}

// close sends what is left.
func (t *traces) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesWithin)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // the error handler has said what could not be sent
}
