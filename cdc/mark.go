package cdc

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcrm/pgcrm/change"
)

// EmitMark writes a logical message into the log, in a transaction of its own so
// that it is flushed at once, and returns the message's position. It needs no
// table and no right. The stream delivers it as a Mark, whose Pos is the commit
// of that transaction; match it by prefix and content.
//
// conn must not be in a transaction. The commit does not wait for a synchronous
// standby: a message that a standby lacks does no harm.
func EmitMark(ctx context.Context, conn *pgx.Conn, prefix string, content []byte) (change.LSN, error) {
	var text string
	err := conn.QueryRow(ctx, `
		SELECT pg_logical_emit_message(true, $1, $2::bytea)::text
		FROM set_config('synchronous_commit', 'local', true)`, prefix, content).Scan(&text)
	if err != nil {
		return 0, fmt.Errorf("write a logical message: %w", err)
	}
	return change.ParseLSN(text)
}
