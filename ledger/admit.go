package ledger

import (
	"fmt"
)

// other is the way out where two set-ups meet under one name.
const other = "give this set-up its own PGCRM_NAME (or PGCRM_SCHEMA), or remove the old one with `pgcrm uninstall`"

// again is the way out where changes may be missing.
const again = "run `pgcrm migrate --recreate-slot`, which has every mapped row sent again as `pgcrm backfill --all` does"

// Admit refuses a set-up that the state does not belong to, with all that
// differs, each with its mend, as an [*Error]. Begin asks it; so may whoever
// would rather not open a slot that is another's.
func (st *State) Admit(in Instance) error {
	var lines []string
	gaps := 0
	differs := func(line string, args ...any) { lines = append(lines, fmt.Sprintf(line, args...)) }
	was := st.Instance
	if was.SystemID != in.SystemID {
		differs("the state belongs to another Postgres server (system identifier %s, now %s); %s", was.SystemID, in.SystemID, other)
	} else if was.Timeline != in.Timeline {
		st.admitTimeline(in, differs)
		gaps = len(lines)
	}
	if was.Database != in.Database {
		differs("the state belongs to the database %q, not %q; %s", was.Database, in.Database, other)
	}
	if was.Slot != in.Slot {
		differs("the state belongs to the slot %q, not %q; set PGCRM_SLOT=%s, or %s", was.Slot, in.Slot, was.Slot, other)
	}
	if was.PortalID != "" && in.PortalID != "" && was.PortalID != in.PortalID {
		differs("the state belongs to the HubSpot portal %s, the token to %s; set HUBSPOT_ACCESS_TOKEN to one of portal %[1]s, or %[3]s", was.PortalID, in.PortalID, other)
	}
	if len(lines) == 0 && st.Checkpoint > in.FlushedEnd {
		gaps = 1
		differs("the state is at %s, beyond the end of the server's log at %s: the server was restored from the past; %s", st.Checkpoint, in.FlushedEnd, again)
	}
	if len(lines) > 0 {
		return &Error{Lines: lines, Gap: gaps == len(lines)}
	}
	return nil
}

// admitTimeline lets another timeline pass where the server's history shows that
// the checkpoint lies on the part that both share: everything from there on is
// read on the new one. That the slot reaches back so far is asked elsewhere.
func (st *State) admitTimeline(in Instance, differs func(string, ...any)) {
	was := st.Instance.Timeline
	left, known := in.TimelineEnds[was]
	switch {
	case !known:
		differs("the server is on timeline %d and its history does not know timeline %d, which the state is on: it was restored, or is a copy that went its own way; "+
			"changes may be missing in the CRM; %s", in.Timeline, was, again)
	case st.Checkpoint > left:
		differs("the server left timeline %d at %s in a failover or a restore, and the state has accounted for changes up to %s, which this server does not have; "+
			"%s", was, left, st.Checkpoint, again)
	}
}
