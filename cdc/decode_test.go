package cdc

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pglogrepl"

	"github.com/pgcrm/pgcrm/change"
)

// message builds a pgoutput message.
type message []byte

func (m message) u8(b byte) message    { return append(m, b) }
func (m message) u16(v uint16) message { return binary.BigEndian.AppendUint16(m, v) }
func (m message) u32(v uint32) message { return binary.BigEndian.AppendUint32(m, v) }
func (m message) u64(v uint64) message { return binary.BigEndian.AppendUint64(m, v) }
func (m message) str(s string) message { return append(append(m, s...), 0) }
func (m message) text(s string) message {
	return append(m.u8('t').u32(uint32(len(s))), s...)
}

func begin(lsn uint64, xid uint32) message { return message{'B'}.u64(lsn).u64(1_000_001).u32(xid) }

func commit(lsn, end uint64) message {
	return message{'C'}.u8(0).u64(lsn).u64(end).u64(2_000_001)
}

// announce announces relation 7, public.t (id, key; name).
func announce() message {
	return message{'R'}.u32(7).str("public").str("t").u8('d').u16(2).
		u8(1).str("id").u32(23).u32(0xffffffff).
		u8(0).str("name").u32(25).u32(0xffffffff)
}

func newDecoder() *decoder { return &decoder{relations: map[uint32]*relation{}} }

func mustDecode(t testing.TB, d *decoder, messages ...message) {
	t.Helper()
	for _, m := range messages {
		if _, err := d.decode(m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDecodeHotMessages(t *testing.T) {
	d := newDecoder()
	mustDecode(t, d, begin(100, 5))
	if ev := d.ev; ev.Kind != change.Begin || ev.Pos.LSN != 100 || ev.XID != 5 ||
		!ev.CommitTime.Equal(time.Date(2000, 1, 1, 0, 0, 1, 1000, time.UTC)) {
		t.Errorf("begin: %+v", ev)
	}
	mustDecode(t, d, announce())
	for _, c := range []struct {
		msg  message
		want string
	}{
		{message{'I'}.u32(7).u8('N').u16(2).text("1").u8('n'), "1 insert public.t (1,NULL)"},
		{message{'U'}.u32(7).u8('N').u16(2).text("1").u8('u'), "2 update public.t (1,_)"},
		{message{'U'}.u32(7).u8('K').u16(2).text("1").u8('n').u8('N').u16(2).text("2").text(""), "3 update public.t key(1,_) (2,)"},
		{message{'U'}.u32(7).u8('O').u16(2).text("1").u8('n').u8('N').u16(2).text("1").text("x"), "4 update public.t old(1,NULL) (1,x)"},
		{message{'D'}.u32(7).u8('K').u16(2).text("1").u8('n'), "5 delete public.t key(1,_)"},
		{message{'D'}.u32(7).u8('O').u16(2).text("1").u8('n'), "6 delete public.t old(1,NULL)"},
		{message{'T'}.u32(1).u8(0).u32(7), "7 truncate public.t"},
	} {
		mustDecode(t, d, c.msg)
		if got := show(&d.ev); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	mustDecode(t, d, commit(100, 120))
	if ev := d.ev; ev.Kind != change.Commit || ev.End != 120 || ev.XID != 5 || ev.Pos != (change.Position{LSN: 100, Ordinal: 7}) {
		t.Errorf("commit: %+v", ev)
	}
}

func TestDecodeRefuses(t *testing.T) {
	row := message{'I'}.u32(7).u8('N').u16(2).text("1").u8('n')
	for name, c := range map[string]struct {
		before []message
		msg    message
		want   string
	}{
		"nothing":                    {nil, message{}, "ends early"},
		"unknown message":            {nil, message{'S'}.u32(1), "unknown to this version"},
		"row outside a transaction":  {[]message{announce()}, row, "outside a transaction"},
		"row of unknown relation":    {[]message{begin(1, 1)}, row, "never announced"},
		"begin in a transaction":     {[]message{begin(1, 1)}, begin(2, 2), "inside another"},
		"commit out of nowhere":      {nil, commit(1, 2), "outside a transaction"},
		"commit of another":          {[]message{begin(1, 1)}, commit(2, 3), "announced for 0/1"},
		"commit that ends too early": {[]message{begin(1, 1)}, commit(1, 1), "announced for 0/1"},
		"commit with flags":          {[]message{begin(1, 1)}, message{'C'}.u8(1).u64(1).u64(2).u64(3), "flags"},
		"too few columns":            {[]message{begin(1, 1), announce()}, message{'I'}.u32(7).u8('N').u16(1).text("1"), "row of 1 columns"},
		"binary column":              {[]message{begin(1, 1), announce()}, message{'I'}.u32(7).u8('N').u16(2).u8('b').u32(0).u8('n'), "column kind"},
		"length beyond the end":      {[]message{begin(1, 1), announce()}, message{'I'}.u32(7).u8('N').u16(2).u8('n').u8('t').u32(1), "ends early"},
		"bytes too many":             {[]message{begin(1, 1), announce()}, row.u8(0), "too many"},
		"tuple of another kind":      {[]message{begin(1, 1), announce()}, message{'I'}.u32(7).u8('K'), "tuple kind"},
		"delete with a new row":      {[]message{begin(1, 1), announce()}, message{'D'}.u32(7).u8('N'), "tuple kind"},
		"truncate of nowhere":        {[]message{begin(1, 1)}, message{'T'}.u32(1).u8(0).u32(9), "never announced"},
		"truncate with a false count": {
			[]message{begin(1, 1)},
			message{'T'}.u32(0xffffffff).u8(0).u32(9),
			"ends early",
		},
		"mark outside a transaction": {nil, message{'M'}.u8(1).u64(5).str("p").u32(0), "outside a transaction"},
		"mark beyond the end":        {nil, message{'M'}.u8(0).u64(5).str("p").u32(7), "ends early"},
	} {
		d := newDecoder()
		mustDecode(t, d, c.before...)
		_, err := d.decode(c.msg)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestDecodeTruncatedAnywhere(t *testing.T) {
	for _, msg := range []message{
		begin(1, 1), commit(1, 2), announce(),
		message{'I'}.u32(7).u8('N').u16(2).text("1").text("abc"),
		message{'U'}.u32(7).u8('K').u16(2).text("1").u8('n').u8('N').u16(2).text("2").text(""),
		message{'D'}.u32(7).u8('O').u16(2).text("1").text("x"),
		message{'T'}.u32(1).u8(0).u32(7),
	} {
		for n := range len(msg) {
			d := newDecoder()
			mustDecode(t, d, announce())
			if msg[0] != 'B' {
				mustDecode(t, d, begin(1, 1))
			}
			if _, err := d.decode(msg[:n]); err == nil {
				t.Errorf("message %q cut at %d of %d was accepted", msg[0], n, len(msg))
			}
		}
	}
}

func TestRowsDoNotAllocate(t *testing.T) {
	d := newDecoder()
	mustDecode(t, d, begin(1, 1), announce())
	row := message{'U'}.u32(7).u8('O').u16(2).text("1").text("x").u8('N').u16(2).text("1").text("y")
	if n := testing.AllocsPerRun(100, func() { _, _ = d.decode(row) }); n != 0 {
		t.Errorf("%v allocations per row", n)
	}
}

// FuzzDecode feeds one message to a decoder that knows a relation, and compares
// with pglogrepl wherever that understands the message too.
func FuzzDecode(f *testing.F) {
	for _, m := range []message{
		begin(1, 1), commit(100, 120), announce(),
		message{'I'}.u32(7).u8('N').u16(2).text("1").u8('n'),
		message{'U'}.u32(7).u8('N').u16(2).text("1").u8('u'),
		message{'U'}.u32(7).u8('K').u16(2).text("1").u8('n').u8('N').u16(2).text("2").text(""),
		message{'D'}.u32(7).u8('O').u16(2).text("1").u8('n'),
		message{'T'}.u32(1).u8(0).u32(7),
		message{'M'}.u8(0).u64(5).str("p").u32(1).u8('x'),
		message{'Y'}.u32(5).str("public").str("mood"),
		message{'O'}.u64(5).str("origin"),
	} {
		f.Add([]byte(m), true)
		f.Add([]byte(m), false)
	}
	f.Fuzz(func(t *testing.T, msg []byte, inTx bool) {
		d := newDecoder()
		mustDecode(t, d, announce())
		if inTx {
			mustDecode(t, d, begin(100, 5))
		}
		emit, err := d.decode(msg)
		if err != nil || !emit {
			return
		}
		want, ok := reference(msg)
		if !ok {
			t.Fatalf("accepted %q, which pglogrepl refuses: %s", msg, show(&d.ev))
		}
		if diff := cmp.Diff(want, plain(&d.ev)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// plainEvent is what both decoders tell.
type plainEvent struct {
	Kind     change.Kind
	XID      uint32
	LSN, End change.LSN
	Time     int64
	Old, New []string
	Key      bool
}

func plain(ev *change.Event) plainEvent {
	p := plainEvent{Kind: ev.Kind, Key: ev.OldIsKey}
	switch ev.Kind {
	case change.Begin:
		p.XID, p.LSN, p.Time = ev.XID, ev.Pos.LSN, ev.CommitTime.UnixMicro()
	case change.Commit:
		p.LSN, p.End, p.Time = ev.Pos.LSN, ev.End, ev.CommitTime.UnixMicro()
	}
	row := func(values []change.Value) (list []string) {
		for _, v := range values {
			list = append(list, string("unt"[v.Kind])+string(v.Text))
		}
		return list
	}
	p.Old, p.New = row(ev.Old), row(ev.New)
	return p
}

func reference(msg []byte) (p plainEvent, ok bool) {
	m, err := parseAny(msg)
	if err != nil {
		return p, false
	}
	row := func(tuple *pglogrepl.TupleData, key bool) (list []string) {
		for i, c := range tuple.Columns {
			if key && c.DataType == 'n' && i > 0 { // the second column is not in the key
				c.DataType = 'u'
			}
			list = append(list, string(rune(c.DataType))+string(c.Data))
		}
		return list
	}
	switch m := m.(type) {
	case *pglogrepl.BeginMessage:
		return plainEvent{Kind: change.Begin, XID: m.Xid, LSN: change.LSN(m.FinalLSN), Time: unixMicro(msg[9:])}, true
	case *pglogrepl.CommitMessage:
		return plainEvent{Kind: change.Commit, LSN: change.LSN(m.CommitLSN), End: change.LSN(m.TransactionEndLSN), Time: unixMicro(msg[18:])}, true
	case *pglogrepl.InsertMessage:
		return plainEvent{Kind: change.Insert, New: row(m.Tuple, false)}, true
	case *pglogrepl.UpdateMessage:
		p := plainEvent{Kind: change.Update, New: row(m.NewTuple, false), Key: m.OldTupleType == 'K'}
		if m.OldTuple != nil {
			p.Old = row(m.OldTuple, p.Key)
		}
		return p, true
	case *pglogrepl.DeleteMessage:
		return plainEvent{Kind: change.Delete, Old: row(m.OldTuple, m.OldTupleType == 'K'), Key: m.OldTupleType == 'K'}, true
	case *pglogrepl.TruncateMessage:
		return plainEvent{Kind: change.Truncate}, true
	case *pglogrepl.LogicalDecodingMessage:
		return plainEvent{Kind: change.Mark}, true
	}
	return p, false
}

// unixMicro reads a time; pglogrepl's own conversion overflows far from today.
func unixMicro(b []byte) int64 {
	return time.UnixMicro(postgresEpoch + int64(binary.BigEndian.Uint64(b))).UnixMicro()
}

// parseAny is pglogrepl.Parse for any message.
func parseAny(msg []byte) (m pglogrepl.Message, err error) {
	defer func() {
		if recover() != nil {
			err = errTruncated
		}
	}()
	return pglogrepl.Parse(msg)
}
