package cdc

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Snapshot says which transactions a SELECT could see: the value of
// pg_current_snapshot.
type Snapshot struct {
	// Xmin is the oldest transaction still running; all before it are visible, or
	// rolled back.
	Xmin uint64
	// Xmax is the first transaction not yet begun.
	Xmax uint64
	// Running lists those in between that had not ended, in ascending order.
	Running []uint64
}

// ParseSnapshot reads Postgres's text "xmin:xmax:xip,xip".
func ParseSnapshot(text string) (Snapshot, error) {
	bad := fmt.Errorf("%q is not a snapshot such as 10:20:10,14", text)
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return Snapshot{}, bad
	}
	var s Snapshot
	var err error
	if s.Xmin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return Snapshot{}, bad
	}
	if s.Xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return Snapshot{}, bad
	}
	if parts[2] != "" {
		for xip := range strings.SplitSeq(parts[2], ",") {
			x, err := strconv.ParseUint(xip, 10, 64)
			if err != nil {
				return Snapshot{}, bad
			}
			s.Running = append(s.Running, x)
		}
	}
	slices.Sort(s.Running)
	if s.Xmin > s.Xmax {
		return Snapshot{}, bad
	}
	return s, nil
}

// Visible reports whether a committed transaction could be seen. The stream
// gives the low half of its number; the high half is that which brings it
// nearest to the snapshot, since transaction numbers in use are never 2^31 apart.
func (s Snapshot) Visible(xid uint32) bool {
	full := s.Xmax + uint64(int64(int32(xid-uint32(s.Xmax)))) //nolint:gosec // modular on purpose
	if full >= s.Xmax {
		return false
	}
	_, running := slices.BinarySearch(s.Running, full)
	return !running
}

// EndedBefore reports whether every transaction that ran when s was taken had
// ended when later was.
func (s Snapshot) EndedBefore(later Snapshot) bool { return later.Xmin >= s.Xmax }

// CurrentSnapshot asks which transactions are running.
func CurrentSnapshot(ctx context.Context, conn *pgx.Conn) (Snapshot, error) {
	var text string
	if err := conn.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&text); err != nil {
		return Snapshot{}, fmt.Errorf("ask for the running transactions: %w", err)
	}
	return ParseSnapshot(text)
}
