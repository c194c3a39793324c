package cdc

import (
	"context"
	"fmt"
	"strings"
)

// sendersWanted is how many WAL senders a start takes: the stream's, and beside
// it for a moment the one that asks who the server is.
const sendersWanted = 2

// sendersSuffice must come before anything here replicates.
func (c *checks) sendersSuffice(ctx context.Context) error {
	slot, ok, err := SlotInfo(ctx, c.conn, c.cfg.Slot)
	if err != nil {
		return err
	}
	if ok {
		c.slot = &slot
	}
	// pg_stat_activity hides from most roles what others are.
	var taken, limit int
	err = c.conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_stat_get_wal_senders()), current_setting('max_wal_senders')::int`).
		Scan(&taken, &limit)
	if err != nil {
		return fmt.Errorf("count the WAL senders: %w", err)
	}
	wanted := sendersWanted
	if ok && slot.Active {
		wanted = 1
	}
	if limit-taken < wanted {
		c.bad("wal_senders", c.vendor.set("max_wal_senders", fmt.Sprint(limit+wanted), true)+", or end another replication client",
			"%d of %d WAL senders are taken, pgcrm needs %d", taken, limit, wanted)
	} else {
		c.good("wal_senders", "%d of %d are taken", taken, limit)
	}
	return nil
}

func (c *checks) slotSuits(ctx context.Context) error {
	const name = "slot"
	if slot := c.slot; slot != nil {
		err := slot.usable(c.server)
		switch {
		case err != nil:
			c.bad(name, "", "%s", err)
		case slot.ConfirmedFlush == 0 && !slot.Active:
			c.bad(name, dropSlotSQL(slot.Name), "the creation of replication slot %s did not end", slot.Name)
		case slot.WALStatus == "unreserved":
			c.note(name, "let pgcrm run and catch up, and "+c.vendor.set("max_slot_wal_keep_size", "50GB", false),
				"replication slot %s is %s", slot.Name, slot.Health())
		case slot.Active:
			c.good(name, "%s: %s; %s", slot.Name, slot.Health(), slotActive(*slot, nil).holder())
		default:
			c.good(name, "%s: %s, %d bytes behind", slot.Name, slot.Health(), slot.LagBytes())
		}
		return nil
	}
	var taken, limit int
	err := c.conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_replication_slots), current_setting('max_replication_slots')::int`).
		Scan(&taken, &limit)
	if err != nil {
		return fmt.Errorf("count the replication slots: %w", err)
	}
	if taken >= limit {
		c.bad(name, c.vendor.set("max_replication_slots", fmt.Sprint(limit+5), true)+
			", or drop a slot that nobody reads (SELECT * FROM pg_replication_slots WHERE NOT active)",
			"all %d replication slots are taken", limit)
	} else {
		c.good(name, "%s can be created, %d of %d slots are taken", c.cfg.Slot, taken, limit)
	}
	if c.server.InRecovery {
		return nil
	}
	blockers, err := writers(ctx, c.conn.PgConn())
	if err != nil {
		return err
	}
	for _, b := range blockers {
		c.note("open_transaction", b.end(), "creating the slot waits for %s", b)
	}
	if len(blockers) == 0 {
		c.good("open_transaction", "no open transaction has written: the slot can be created at once")
	}
	return nil
}

func dropSlotSQL(name string) string {
	return fmt.Sprintf("SELECT pg_drop_replication_slot(%s)", literal(name))
}

// slotLasts looks at the settings by which the server gives a slot up, or never.
func (c *checks) slotLasts(ctx context.Context) error {
	var keep, segments int64 // MB
	var idle *string
	err := c.conn.QueryRow(ctx, `SELECT (SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
		(SELECT setting::int8 FROM pg_settings WHERE name = 'max_wal_size'), current_setting('idle_replication_slot_timeout', true)`).
		Scan(&keep, &segments, &idle)
	if err != nil {
		return fmt.Errorf("ask how long the server keeps its log: %w", err)
	}
	const name = "max_slot_wal_keep_size"
	switch {
	case keep < 0:
		c.note(name, c.vendor.set(name, "50GB", false)+" (what the disk can spare)",
			"there is no limit: while pgcrm does not run its slot keeps the log until the disk is full")
	case keep < segments:
		c.note(name, c.vendor.set(name, "50GB", false)+" (what the disk can spare)",
			"the server keeps %d MB for a slot, less than max_wal_size: a short pause of pgcrm loses it", keep)
	default:
		c.good(name, "%d MB", keep)
	}
	if idle != nil { // since 18
		if *idle == "0" {
			c.good("idle_replication_slot_timeout", "off")
		} else {
			c.note("idle_replication_slot_timeout", c.vendor.set("idle_replication_slot_timeout", "0", false),
				"the slot is lost once pgcrm has not run for %s", *idle)
		}
	}
	return nil
}

// failoverKeepsIt looks whether the slot would be there on a standby that takes
// over.
func (c *checks) failoverKeepsIt(ctx context.Context) error {
	const name = "failover"
	if c.server.InRecovery {
		return nil
	}
	var standbys int
	var physical, absent []string
	var waited *string
	err := c.conn.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM pg_stat_get_wal_senders() w WHERE NOT EXISTS (
			SELECT FROM pg_replication_slots s WHERE s.active_pid = w.pid AND s.slot_type = 'logical') AND w.state = 'streaming'),
		ARRAY(SELECT slot_name::text FROM pg_replication_slots WHERE slot_type = 'physical' ORDER BY 1),
		current_setting('synchronized_standby_slots', true),
		ARRAY(SELECT n FROM unnest(string_to_array(replace(current_setting('synchronized_standby_slots', true), '"', ''), ',')) AS names(n)
			WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name::text = trim(n) AND active))`).Scan(&standbys, &physical, &waited, &absent)
	if err != nil {
		return fmt.Errorf("look for standbys: %w", err)
	}
	if len(absent) > 0 && (c.slot == nil || c.slot.Failover) {
		c.note(name, "bring the standbys back, or take their slots out of the setting: "+c.vendor.set("synchronized_standby_slots", "...", false),
			"no standby uses %s, which synchronized_standby_slots names: until one does the server sends no change", strings.TrimSpace(strings.Join(absent, ",")))
		return nil
	}
	if standbys == 0 && len(physical) == 0 {
		c.good(name, "no standby is seen, none needs the slot")
		return nil
	}
	const lost = "after a failover to a standby the slot is gone and pgcrm stops rather than guess what it missed"
	switch {
	case c.server.Version < 170000:
		c.note(name, "have the tool that fails over keep the slot (Patroni: slots), or run pgcrm migrate --recreate-slot and pgcrm backfill --all after one",
			"%s", lost)
	case c.slot != nil && !c.slot.Failover:
		c.note(name, "stop pgcrm and run pgcrm migrate, which makes it a failover slot", "%s", lost)
	case waited == nil || *waited == "":
		slots := "'NAME OF THE STANDBY''S SLOT'"
		if len(physical) > 0 {
			slots = strings.Join(physical, ", ")
		}
		c.note(name, c.vendor.set("synchronized_standby_slots", slots, false)+
			"; on the standby sync_replication_slots = on, hot_standby_feedback = on, and a dbname in primary_conninfo",
			"the slot can be carried over to a standby, but pgcrm may be ahead of it when it takes over")
	default:
		c.good(name, "changes are read once the standbys of %s have them", *waited)
	}
	return nil
}

// blocker is an open transaction that has written.
type blocker struct {
	pid         int32  // 0 for a prepared one
	gid         string // of a prepared one
	application string
	age         string // empty where the role may not see it
}

// String describes it.
func (b blocker) String() string {
	var s strings.Builder
	if b.gid != "" {
		fmt.Fprintf(&s, "prepared transaction %s", literal(b.gid))
	} else {
		fmt.Fprintf(&s, "process %d", b.pid)
		if b.application != "" {
			fmt.Fprintf(&s, " (%s)", b.application)
		}
	}
	if b.age != "" {
		fmt.Fprintf(&s, ", open for %s", b.age)
	}
	return s.String()
}

// end is the statement that ends it.
func (b blocker) end() string {
	if b.gid != "" {
		return "COMMIT PREPARED " + literal(b.gid) + " or ROLLBACK PREPARED " + literal(b.gid)
	}
	return fmt.Sprintf("wait, or SELECT pg_terminate_backend(%d)", b.pid)
}

// listed reports whether a setting that is a list has the word.
func listed(list, word string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if strings.Trim(strings.TrimSpace(part), `"`) == word {
			return true
		}
	}
	return false
}
