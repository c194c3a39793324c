package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/sink"
)

func newExplainCommand(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain TABLE KEY...",
		Short: "One row's way: what it maps to, what was last sent and when, what waits and why",
		Long: `Reads the row with the primary key KEY, maps it as it is now, and holds it against
what the ledger knows: whether the CRM is known to hold each value, what waits or
is parked, and why. A key of several columns is given column by column, or as one
JSON array. Nothing is written, and the CRM's records are not read: pgcrm plan
and pgcrm verify do that.`,
		Example: `  pgcrm explain accounts 7
  pgcrm explain public.order_lines 1042 3
  pgcrm explain accounts 7 -o json | jq -r '.records[].state'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return &usageError{"name a table and the primary key of a row: pgcrm explain accounts 7"}
			}
			return nil
		},
	}
	format := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := newDesk(env, config.NeedDatabase, config.NeedCRM, config.NeedMapping)
		if err != nil {
			return err
		}
		e, err := d.explain(cmd.Context(), args[0], args[1:])
		if err != nil {
			return err
		}
		if format.json() {
			return d.out.json(e)
		}
		e.print(d.out, d.now())
		return nil
	}
	return cmd
}

// explanation is what is known of one row.
type explanation struct {
	Table  string `json:"table"`
	Key    string `json:"key"`
	Exists bool   `json:"exists"`
	// Checkpoint is how far the log is accounted for, LogEnd how far it goes;
	// Checkpoint is empty where nothing has run yet.
	Checkpoint string            `json:"checkpoint,omitempty"`
	LogEnd     string            `json:"log_end"`
	Running    bool              `json:"instance_running"`
	Records    []explainedRecord `json:"records"`
}

// explainedRecord is what one mapping makes of the row, and what became of it.
type explainedRecord struct {
	Object string `json:"object"`
	Match  string `json:"match"`
	Key    string `json:"key,omitempty"`
	// State is delivered, waiting, parked, skipped, excluded or gone.
	State     string     `json:"state"`
	Detail    string     `json:"detail,omitempty"`
	CRMID     string     `json:"crm_id,omitempty"`
	URL       string     `json:"url,omitempty"`
	Delivered *time.Time `json:"delivered_at,omitempty"`
	// Latency is the time in milliseconds from the commit to the answer of the last
	// delivery, Batch the number of its call and Correlation HubSpot's id of that.
	Latency     *int64              `json:"latency_ms,omitempty"`
	Batch       int32               `json:"batch,omitempty"`
	Correlation string              `json:"correlation_id,omitempty"`
	Accounted   string              `json:"accounted,omitempty"`
	Properties  []explainedProperty `json:"properties,omitempty"`
	Letters     []letter            `json:"letters,omitempty"`
}

// explainedProperty is one property's value now and how the CRM stands to it.
type explainedProperty struct {
	Name string `json:"name"`
	// Value is what belongs into the CRM; null where it is to be cleared, absent
	// where it is refused.
	Value any `json:"value,omitempty"`
	// State is delivered, waiting, parked, refused or untouched.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// explainer holds what an explanation is made from.
type explainer struct {
	*desk
	*view
	*memory
	slot cdc.Slot
}

func (d *desk) explain(ctx context.Context, table string, key []string) (*explanation, error) {
	v, err := d.view(ctx)
	if err != nil {
		return nil, err
	}
	defer v.close(ctx)
	rel, err := v.table(table)
	if err != nil {
		return nil, err
	}
	pk, err := oneKey(rel, key)
	if err != nil {
		return nil, err
	}
	x := &explainer{desk: d, view: v}
	if x.memory, err = d.recall(ctx, v); err != nil {
		return nil, err
	}
	defer x.Close()
	chunk, err := readByKey(ctx, v.conn, rel, []rowKey{pk})
	if err != nil {
		return nil, err
	}
	if x.slot, _, err = cdc.SlotInfo(ctx, v.conn, d.cfg.Source.Slot); err != nil {
		return nil, err
	}
	end, err := cdc.FlushLSN(ctx, v.conn)
	if err != nil {
		return nil, err
	}
	e := &explanation{
		Table: rel.String(), Key: pk.String(), Exists: len(chunk.Rows) > 0, LogEnd: end.String(),
		Running: x.slot.ActivePID != 0, Records: []explainedRecord{},
	}
	if x.known {
		e.Checkpoint = x.state.Checkpoint.String()
	}
	if !e.Exists {
		e.Records, err = x.gone(ctx, rel, e.Key)
		return e, err
	}
	list, err := newRowMapper(v.mapping).row(rel, chunk.Rows[0])
	if err != nil {
		return nil, err
	}
	for i := range list {
		r, err := x.record(ctx, &list[i])
		if err != nil {
			return nil, err
		}
		e.Records = append(e.Records, r)
	}
	return e, nil
}

// oneKey reads the key of one row: a text for each column, or one JSON array.
func oneKey(rel *change.Relation, texts []string) (rowKey, error) {
	switch {
	case len(texts) == len(rel.PrimaryKey):
		return texts, nil
	case len(texts) > 1 || len(rel.PrimaryKey) < 2:
		return nil, &usageError{fmt.Sprintf("the primary key of %s is %s: give %s", rel, keyColumns(rel), plural(int64(len(rel.PrimaryKey)), "value", "values"))}
	}
	keys, err := compositeKeys(rel, texts[0])
	if err != nil {
		return nil, err
	}
	if len(keys) != 1 {
		return nil, &usageError{"name one row"}
	}
	return keys[0], nil
}

// record explains what one mapping makes of the row.
func (x *explainer) record(ctx context.Context, m *mapped) (explainedRecord, error) {
	target := m.source.Target
	r := explainedRecord{Object: target.Object, Match: target.Match, Key: m.key}
	letters, err := x.lettersOf(ctx, m)
	if err != nil {
		return r, err
	}
	r.Letters = lettersOf(letters)
	known, err := x.trace(ctx, &r, m)
	if err != nil {
		return r, err
	}
	switch m.fate {
	case fateNoMatch:
		r.State, r.Detail = "skipped", "its match column is NULL, so it addresses no record"
		return r, nil
	case fateExcluded, fateGone:
		r.State, r.Detail = "excluded", "it does not satisfy when"
		if m.source.OnDelete != change.Ignore {
			r.Detail += "; on_delete applies to a record that was delivered from it"
		}
		return r, nil
	case fateRejected:
		r.State, r.Detail = "parked", "no record can be addressed"
		if m.rejection != nil {
			r.Detail = m.rejection.Category + ": " + m.rejection.Reason
		}
		return r, nil
	}
	r.State = "delivered"
	x.properties(&r, m, known, letters)
	switch whole := slices.IndexFunc(letters, func(l ledger.Parked) bool { return l.Property == "" }); {
	case whole >= 0:
		r.State, r.Detail = "parked", letters[whole].Category+": "+letters[whole].Reason
	case r.State == "waiting":
		r.Detail, err = x.waits(ctx, m.source)
	}
	return r, err
}

// properties holds each property against the ledger.
func (x *explainer) properties(r *explainedRecord, m *mapped, known *change.Record, letters []ledger.Parked) {
	entry := sink.Entry{Source: m.source, Props: m.props}
	diff := entry.Diff(known, x.fingerprint())
	for p := range m.props.All() {
		e := explainedProperty{Name: m.source.Target.Properties[p.Slot], State: "delivered"}
		switch p.Kind {
		case change.Set:
			e.Value = string(p.Text)
		case change.Refused, change.RefusedOver:
			why := p.Rejection()
			e.State, e.Reason = "refused", why.Category+": "+why.Reason
		default:
			e.Value = json.RawMessage("null")
			if p.Kind == change.ClearIfDelivered && known.Fact(p.Slot).State == change.Never {
				e.State, e.Reason = "untouched", "NULL, and never delivered"
			}
		}
		if _, sends := diff.Send.Get(p.Slot); sends {
			e.State, e.Reason = "waiting", waitingFor(known.Fact(p.Slot))
			for _, l := range letters {
				if l.Property == e.Name || l.Property == "" && slices.Contains(l.Owed, e.Name) {
					e.State, e.Reason = "parked", fmt.Sprintf("%s: %s (pgcrm dlq show %d)", l.Category, l.Reason, l.ID)
				}
			}
		}
		if slices.Contains(diff.Futile, p.Slot) {
			e.State, e.Reason = "parked", "HubSpot accepted the value and kept another one; it is sent again when it changes, or with pgcrm dlq retry"
			for _, l := range letters {
				if l.Property == e.Name {
					e.Reason = fmt.Sprintf("%s: %s (pgcrm dlq show %d)", l.Category, l.Reason, l.ID)
				}
			}
		}
		if e.State == "waiting" {
			r.State = "waiting"
		}
		r.Properties = append(r.Properties, e)
	}
}

// waitingFor says what the ledger knows of a property that is to be sent.
func waitingFor(f change.Fact) string {
	switch f.State {
	case change.Never:
		return "not delivered yet"
	case change.Unknown:
		return "sent without an answer; it is sent again"
	case change.Known:
	}
	return "another value was delivered last"
}

// fingerprint is the ledger's, or where there is no ledger yet one that nothing
// is compared with.
func (x *explainer) fingerprint() func([]byte) uint64 {
	if !x.known {
		return func([]byte) uint64 { return 0 }
	}
	return x.memory.Fingerprint
}

// lettersOf lists what is parked of the row, and of the record that it goes to.
func (x *explainer) lettersOf(ctx context.Context, m *mapped) ([]ledger.Parked, error) {
	if !x.known {
		return nil, nil
	}
	list, err := x.memory.Letters(ctx, ledger.Filter{Table: m.source.Table, Object: m.source.Target.Object, Key: m.key})
	return slices.DeleteFunc(list, func(l ledger.Parked) bool {
		return l.Match != m.source.Target.Match || m.key == "" && l.Row != m.row
	}), err
}

// trace adds what the ledger knows of the record.
func (x *explainer) trace(ctx context.Context, r *explainedRecord, m *mapped) (*change.Record, error) {
	if !x.known || m.key == "" {
		return nil, nil
	}
	trace, ok, err := x.memory.Trace(ctx, m.source.Target, m.key)
	if err != nil || !ok {
		return nil, err
	}
	r.CRMID = trace.Record.CRMID
	if r.CRMID == "" && m.source.Target.ByRecordID() {
		r.CRMID = m.key
	}
	r.URL = recordURL(x.account, r.Object, r.CRMID)
	r.Accounted = trace.Record.Accounted.String()
	if !trace.DeliveredAt.IsZero() {
		at := trace.DeliveredAt.UTC()
		r.Delivered = &at
		if trace.Latency >= 0 {
			millis := trace.Latency.Milliseconds()
			r.Latency = &millis
		}
		r.Batch, r.Correlation = trace.Batch, trace.Correlation
	}
	return trace.Record, nil
}

// waits says what a change that is not delivered waits for.
func (x *explainer) waits(ctx context.Context, src *change.Source) (string, error) {
	if !x.known {
		return "nothing has run yet; start pgcrm run", nil
	}
	if x.slot.ActivePID == 0 {
		return "no instance runs; start pgcrm run", nil
	}
	open, err := x.memory.Backfills(ctx)
	if err != nil {
		return "", err
	}
	for _, b := range open {
		if b.Table == src.Table && b.Object == src.Target.Object && len(b.Keys) == 0 {
			return fmt.Sprintf("backfill %d of the table is %s", b.ID, b.State), nil
		}
	}
	return fmt.Sprintf("the log is accounted for up to %s; see pgcrm status for what holds it up", x.state.Checkpoint), nil
}

// gone explains a row that is not in the table: what was delivered from it.
func (x *explainer) gone(ctx context.Context, rel *change.Relation, row string) ([]explainedRecord, error) {
	list := []explainedRecord{}
	if !x.known {
		return list, nil
	}
	for _, src := range x.sources(rel) {
		keys, err := x.memory.KeysOf(ctx, src, row)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			m := &mapped{source: src, row: row, key: key}
			r := explainedRecord{Object: src.Target.Object, Match: src.Target.Match, Key: key, State: "gone", Detail: "it was delivered from this row; " + leftBy(src.OnDelete)}
			if _, err := x.trace(ctx, &r, m); err != nil {
				return nil, err
			}
			letters, err := x.lettersOf(ctx, m)
			if err != nil {
				return nil, err
			}
			r.Letters = lettersOf(letters)
			list = append(list, r)
		}
	}
	return list, nil
}

// leftBy says what becomes of the record of a row that is gone.
func leftBy(policy change.Deleted) string {
	switch policy {
	case change.Archive:
		return "on_delete archives it"
	case change.SetGone:
		return "on_delete sets properties of it"
	case change.Ignore:
	}
	return "on_delete leaves it as it is"
}
