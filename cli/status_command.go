package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcrm/pgcrm/admin"
	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/config"
	"github.com/pgcrm/pgcrm/ledger"
)

// statusCommand tells how things stand.
type statusCommand struct {
	*desk
	environ []string
}

func newStatusCommand(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Lag, slot health, backfills, queue, quota and parked records",
		Long: `Asks the instance that listens at PGCRM_LISTEN; where none answers, says what the
database knows: the slot, the checkpoint, the loads and the parked records.

Two gaps are told apart. The confirmed gap is what pgcrm still has to account for.
The restart gap is what the server keeps on its disk for the slot; it follows
later, once no transaction of that time is open.`,
		Example: `  pgcrm status
  pgcrm status -o json | jq .log`,
		Args: noArguments,
	}
	format := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := newDesk(env, config.NeedDatabase)
		if err != nil {
			return err
		}
		s := &statusCommand{desk: d, environ: env.Env}
		snap, err := s.read(cmd.Context())
		if err != nil {
			return err
		}
		if format.json() {
			return s.out.json(snap)
		}
		s.print(snap)
		return nil
	}
	return cmd
}

func (s *statusCommand) read(ctx context.Context) (admin.Snapshot, error) {
	snap, err := s.fromInstance(ctx)
	if err == nil {
		return snap, nil
	}
	return s.fromDatabase(ctx, err)
}

// fromInstance asks the running instance. One of another set-up is not it.
func (s *statusCommand) fromInstance(ctx context.Context) (snap admin.Snapshot, err error) {
	target, err := listenURL(s.environ, "/api/status")
	if err != nil {
		return snap, err
	}
	if target == "" {
		return snap, errors.New("PGCRM_LISTEN is off")
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return snap, err
	}
	// No proxy: HTTP_PROXY is meant for the CRM.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return snap, fmt.Errorf("nothing answers at %s", target)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return snap, fmt.Errorf("%s answers %s", target, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&snap); err != nil {
		return snap, fmt.Errorf("%s is not pgcrm's status", target)
	}
	if snap.Slot.Name != s.cfg.Source.Slot || snap.Database.Schema != s.cfg.Source.Schema {
		return snap, fmt.Errorf("the instance at %s is another one (slot %s)", target, snap.Slot.Name)
	}
	return snap, nil
}

// fromDatabase puts together what is known without an instance.
func (s *statusCommand) fromDatabase(ctx context.Context, why error) (admin.Snapshot, error) {
	b := thisBuild()
	snap := admin.Snapshot{
		At:       s.now().UTC(),
		Version:  admin.Version{Version: b.Version, Commit: b.Commit, Go: b.Go},
		State:    admin.Stopped,
		Database: admin.Database{Publication: s.cfg.Source.Publication, Schema: s.cfg.Source.Schema},
		Slot:     admin.Slot{Name: s.cfg.Source.Slot},
		CRM:      admin.CRM{BaseURL: string(s.cfg.CRM.BaseURL)},
	}
	defer snap.Fill()
	slot, err := s.slot(ctx, &snap)
	if err != nil {
		return snap, err
	}
	checkpoint, err := s.remembered(ctx, &snap)
	if err != nil {
		return snap, err
	}
	snap.Detail = "no instance runs (" + why.Error() + ")"
	if slot == nil {
		snap.Slot.Status, snap.Slot.Detail = "missing", "the slot does not exist yet; pgcrm migrate or run makes it"
		if checkpoint != 0 {
			snap.Slot.Detail = (&cdc.SlotMissingError{Slot: s.db.Slot}).Error()
		}
		return snap, nil
	}
	showSlot(&snap, slot)
	if slot.Active {
		snap.State = admin.Streaming
		snap.Detail = fmt.Sprintf("an instance runs elsewhere, process %d of the server serves it, and its status page cannot be read from here (%s)", slot.ActivePID, why)
	}
	return snap, nil
}

// slot reads the slot, nil where there is none.
func (s *statusCommand) slot(ctx context.Context, snap *admin.Snapshot) (*cdc.Slot, error) {
	conn, err := cdc.Connect(ctx, s.db)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var version int
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int, current_database()::text").Scan(&version, &snap.Database.Name); err != nil {
		return nil, err
	}
	snap.Database.Server = serverVersion(version)
	slot, ok, err := cdc.SlotInfo(ctx, conn, s.db.Slot)
	if err != nil || !ok {
		return nil, err
	}
	return &slot, nil
}

// remembered reads the ledger. One that is not there yet leaves blanks.
func (s *statusCommand) remembered(ctx context.Context, snap *admin.Snapshot) (change.LSN, error) {
	book, err := s.ledger(ctx)
	if err != nil {
		return 0, err
	}
	defer book.Close()
	st, known, err := book.Peek(ctx)
	var missing *ledger.Error
	if errors.As(err, &missing) || err == nil && !known {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	snap.Since, snap.Database.SystemID, snap.CRM.Portal = st.SavedAt.UTC(), st.Instance.SystemID, st.Instance.PortalID
	snap.Log.CheckpointLSN = admin.LSN(st.Checkpoint)
	if snap.Parked, err = book.CountLetters(ctx); err != nil {
		return 0, err
	}
	holds, err := book.Holds(ctx)
	if err != nil {
		return 0, err
	}
	for _, h := range waiting(holds) {
		snap.Held = append(snap.Held, showHeld(h, s.cfg.Admin.ShowValues))
	}
	loads, err := book.Backfills(ctx)
	if err != nil {
		return 0, err
	}
	for _, l := range loads {
		b := admin.Backfill{ID: l.ID, Table: l.Table, Rows: l.Rows, Estimate: l.Estimate}
		if l.State == ledger.Waiting {
			b.Waiting = "for pgcrm run"
		}
		if !l.StartedAt.IsZero() {
			at := l.StartedAt.UTC()
			b.Started = &at
		}
		snap.Backfills = append(snap.Backfills, b)
	}
	return st.Checkpoint, nil
}
