package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// bareCommand makes this program the reference: a loop over pglogrepl that parses
// every message and does nothing with it.
const bareCommand = "bare"

// bare reads SLOT of PUBLICATION at URL until it has seen a commit beyond END.
// With latencies it prints, for every update, the text of its second column and
// when it was there.
func bare(ctx context.Context, args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("usage: bench %s URL SLOT PUBLICATION END true|false", bareCommand)
	}
	end, err := pglogrepl.ParseLSN(args[3])
	if err != nil {
		return err
	}
	latencies, err := strconv.ParseBool(args[4])
	if err != nil {
		return err
	}
	cfg, err := pgconn.ParseConfig(args[0])
	if err != nil {
		return err
	}
	cfg.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	err = pglogrepl.StartReplication(ctx, conn, args[1], 0, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names '" + args[2] + "'"},
	})
	if err != nil {
		return err
	}
	last := time.Now()
	for {
		msg, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		data, ok := msg.(*pgproto3.CopyData)
		if !ok {
			return fmt.Errorf("unexpected %T", msg)
		}
		if data.Data[0] == pglogrepl.PrimaryKeepaliveMessageByteID || time.Since(last) > 5*time.Second {
			last = time.Now()
			if err := pglogrepl.SendStandbyStatusUpdate(ctx, conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: 1}); err != nil {
				return err
			}
		}
		if data.Data[0] != pglogrepl.XLogDataByteID {
			continue
		}
		x, err := pglogrepl.ParseXLogData(data.Data[1:])
		if err != nil {
			return err
		}
		parsed, err := pglogrepl.Parse(x.WALData)
		if err != nil {
			return err
		}
		switch m := parsed.(type) {
		case *pglogrepl.UpdateMessage:
			if latencies {
				fmt.Println(string(m.NewTuple.Columns[seatsColumn].Data), time.Now().UnixNano())
			}
		case *pglogrepl.CommitMessage:
			if m.CommitLSN >= end {
				return nil
			}
		}
	}
}
