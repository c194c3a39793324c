package cdc

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/internal/pgtest"
)

// naive is a replication client as the first page of any tutorial has it: it
// acknowledges whatever it is told to.
type naive struct {
	*database
	conn *pgconn.PgConn
}

// seen is one transaction that a naive client has received.
type seen struct {
	rows        []string
	commit, end change.LSN
	rowEnd      change.LSN // where the last row's message began, plus its length
}

func (d *database) naive(start change.LSN) *naive {
	d.Helper()
	conn, _, err := connectReplication(d.ctx, d.cfg)
	if err != nil {
		d.Fatal(err)
	}
	if err := startReplication(d.ctx, d.cfg, conn, d.cfg.Slot, start); err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { closeHard(conn) })
	return &naive{d, conn}
}

// ack sends a status update and asks for a reply.
func (n *naive) ack(lsn change.LSN) {
	n.Helper()
	err := pglogrepl.SendStandbyStatusUpdate(n.ctx, n.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: pglogrepl.LSN(lsn), WALFlushPosition: pglogrepl.LSN(lsn), WALApplyPosition: pglogrepl.LSN(lsn), ReplyRequested: true,
	})
	if err != nil {
		n.Fatal(err)
	}
}

// read receives transactions until one is complete, or, with until, keepalives
// say that the server has read its log up to there. It returns the last
// keepalive's position too.
func (n *naive) read(until change.LSN) (all []seen, keepalive change.LSN) {
	n.Helper()
	var tx seen
	for {
		msg, err := n.conn.ReceiveMessage(n.ctx)
		if err != nil {
			n.Fatal(err)
		}
		data, ok := msg.(*pgproto3.CopyData)
		if !ok {
			n.Fatalf("%T %+v", msg, msg)
		}
		if data.Data[0] == pglogrepl.PrimaryKeepaliveMessageByteID {
			k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data.Data[1:])
			if err != nil {
				n.Fatal(err)
			}
			if keepalive = change.LSN(k.ServerWALEnd); until > 0 && keepalive >= until {
				return all, keepalive
			}
			if until > 0 {
				n.ack(0)
				time.Sleep(time.Millisecond)
			}
			continue
		}
		x, err := pglogrepl.ParseXLogData(data.Data[1:])
		if err != nil {
			n.Fatal(err)
		}
		m, err := pglogrepl.Parse(x.WALData)
		if err != nil {
			n.Fatal(err)
		}
		switch m := m.(type) {
		case *pglogrepl.InsertMessage:
			tx.rows = append(tx.rows, string(m.Tuple.Columns[0].Data))
			tx.rowEnd = change.LSN(x.WALStart) + change.LSN(len(x.WALData))
		case *pglogrepl.CommitMessage:
			tx.commit, tx.end = change.LSN(m.CommitLSN), change.LSN(m.TransactionEndLSN)
			if len(tx.rows) > 0 {
				all = append(all, tx)
			}
			tx = seen{}
			if until == 0 && len(all) > 0 {
				return all, keepalive
			}
		}
	}
}

// close ends the connection and waits until the slot is free.
func (n *naive) close() {
	n.Helper()
	closeHard(n.conn)
	for n.database.slot().Active {
		if n.ctx.Err() != nil {
			n.Fatal("the slot is not free")
		}
		time.Sleep(time.Millisecond)
	}
}

// delivered connects again, trusting the slot, and lists the rows of all that is
// delivered.
func (d *database) delivered(start change.LSN) (rows []string) {
	d.Helper()
	flushed, err := FlushLSN(d.ctx, d.conn)
	if err != nil {
		d.Fatal(err)
	}
	n := d.naive(start)
	defer n.close()
	n.ack(0)
	all, _ := n.read(flushed)
	for _, tx := range all {
		rows = append(rows, tx.rows...)
	}
	return rows
}

// TestWhatAcknowledgementsLose is the table of positions that clients are known
// to acknowledge, and of what they lose by it. The reasons for what [Stream] does
// stand here: nothing is added to a position, keepalives count only with nothing
// open, and nothing is believed that the server has not said.
func TestWhatAcknowledgementsLose(t *testing.T) {
	server := pgtest.New(t, "autovacuum", "off", "bgwriter_delay", "10s", "checkpoint_timeout", "1h")
	// pair commits two transactions back to back and reads both.
	pair := func(n *naive) (first, second seen) {
		for i := 1; ; i += 2 {
			n.adjacent(i)
			a, _ := n.read(0)
			b, _ := n.read(0)
			if first, second = a[0], b[0]; second.commit == first.end {
				return first, second
			}
			n.ack(second.end)
		}
	}
	for _, c := range []struct {
		name string
		// act acknowledges something and returns what should be delivered after.
		act  func(n *naive) (owed []string)
		lost bool
	}{
		{"the start of the commit record", func(n *naive) []string {
			first, second := pair(n)
			n.ack(first.commit)
			return slices.Concat(first.rows, second.rows)
		}, false},
		{"the start of the commit record plus one", func(n *naive) []string {
			first, second := pair(n)
			n.ack(first.commit + 1)
			return second.rows
		}, false},
		{"the end of the commit record", func(n *naive) []string {
			first, second := pair(n)
			n.ack(first.end)
			return second.rows
		}, false},
		{"the end of the commit record plus one", func(n *naive) []string {
			first, second := pair(n)
			n.ack(first.end + 1)
			return second.rows
		}, true},
		{"a keepalive while rows that were received wait", func(n *naive) []string {
			n.exec(`INSERT INTO t VALUES (1)`)
			tx, _ := n.read(0)
			n.ack(0)
			_, keepalive := n.read(tx[0].end)
			n.ack(keepalive)
			return tx[0].rows
		}, true},
		{"a keepalive while another transaction is open", func(n *naive) []string { return n.keepaliveBeforeCommit(0) }, false},
		{"a keepalive plus one while another transaction is open", func(n *naive) []string { return n.keepaliveBeforeCommit(1) }, true},
		{"the start of a row's message plus its length", func(n *naive) []string {
			n.exec(`INSERT INTO t VALUES (1, repeat('x', 1600000))`)
			tx, _ := n.read(0)
			n.ack(tx[0].rowEnd)
			return n.more(30)
		}, true},
		{"a position beyond the log", func(n *naive) []string {
			n.ack(n.flushed() + 1<<20)
			return n.more(3)
		}, true},
		{"an older position than before", func(n *naive) []string {
			first, second := pair(n)
			n.ack(second.end)
			n.ack(first.commit)
			return nil
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := databaseOn(t, server)
			d.exec(`CREATE TABLE t (id int PRIMARY KEY, v text)`)
			d.publish("t")
			n := d.naive(0)
			owed := c.act(n)
			n.ack(0)
			n.read(n.flushed()) // what was acknowledged has arrived
			n.close()
			got := d.delivered(0)
			if lost := !slices.Equal(got, owed); lost != c.lost || lost && len(got) >= len(owed) {
				t.Errorf("delivered %q of %q", got, owed)
			}
		})
	}
	t.Run("a start at a position beyond the log", func(t *testing.T) {
		d := databaseOn(t, server)
		d.exec(`CREATE TABLE t (id int PRIMARY KEY)`)
		d.publish("t")
		start := d.flushed() + 1<<20
		n := d.naive(start)
		n.close()
		d.exec(`INSERT INTO t VALUES (1)`)
		if got := d.delivered(start); len(got) > 0 {
			t.Errorf("delivered %q", got)
		}
		if _, err := Open(d.ctx, d.cfg, start); !isProblem(err, "beyond the end of the server's log") {
			t.Errorf("Open: %v", err)
		}
	})
}

func (d *database) flushed() change.LSN {
	d.Helper()
	lsn, err := FlushLSN(d.ctx, d.conn)
	if err != nil {
		d.Fatal(err)
	}
	return lsn
}

// more inserts rows and returns their keys.
func (d *database) more(n int) (rows []string) {
	d.Helper()
	for i := range n {
		d.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d)`, 1000+i))
		rows = append(rows, fmt.Sprint(1000+i))
	}
	return rows
}

// keepaliveBeforeCommit acknowledges a keepalive plus a number of bytes that comes
// while a transaction is open whose commit record is the next thing written.
func (n *naive) keepaliveBeforeCommit(plus change.LSN) []string {
	n.Helper()
	writer := n.connect()
	exec := func(sql string) {
		n.Helper()
		if _, err := writer.Exec(context.WithoutCancel(n.ctx), sql); err != nil {
			n.Fatal(err)
		}
	}
	for i := 1; ; i++ {
		exec(fmt.Sprintf(`BEGIN; INSERT INTO t VALUES (%d)`, i))
		n.exec(`SELECT pg_logical_emit_message(true, 'flush', '')`)
		n.ack(0)
		_, keepalive := n.read(n.flushed())
		exec(`COMMIT`)
		tx, _ := n.read(0)
		if tx[0].commit == keepalive {
			n.ack(keepalive + plus)
			return tx[0].rows
		}
		n.ack(tx[0].end)
	}
}
