package cdc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func frame(kind byte, body []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	return append(b, body...)
}

// pieces is a reader that gives at most the drawn sizes.
type pieces struct {
	t *rapid.T
	r io.Reader
}

func (p pieces) Read(b []byte) (int, error) {
	n := rapid.IntRange(1, 3*gulpBytes).Draw(p.t, "piece")
	return p.r.Read(b[:min(n, len(b))])
}

// TestFramesCutAnyStream reads messages first through Read, as pgconn does, then
// through next, whatever pieces the network delivers.
func TestFramesCutAnyStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 50), rapid.IntRange(0, 3*gulpBytes)), 1, 8).Draw(t, "sizes")
		var stream bytes.Buffer
		for i, n := range sizes {
			stream.Write(frame(byte('a'+i), bytes.Repeat([]byte{byte(i)}, n)))
		}
		f := newFrames(pieces{t, &stream})
		viaRead := rapid.IntRange(0, len(sizes)).Draw(t, "messages by Read")
		for i, n := range sizes[:viaRead] {
			// A reader with room for more must not get bytes of the next message.
			got := make([]byte, 0, n+frameHeader)
			for len(got) < n+frameHeader {
				b := make([]byte, n+frameHeader+100)
				k, err := f.Read(b)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, b[:k]...)
			}
			if !bytes.Equal(got, frame(byte('a'+i), bytes.Repeat([]byte{byte(i)}, n))) {
				t.Fatalf("message %d differs", i)
			}
		}
		for i := viaRead; i < len(sizes); {
			kind, body, ok, err := f.next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				if err := f.fill(); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if kind != byte('a'+i) || !bytes.Equal(body, bytes.Repeat([]byte{byte(i)}, sizes[i])) {
				t.Fatalf("message %d: %q of %d bytes, want %d", i, kind, len(body), sizes[i])
			}
			i++
		}
		if err := f.fill(); !errors.Is(err, io.EOF) {
			t.Fatalf("at the end: %v", err)
		}
	})
}

func TestFramesGiveMemoryBack(t *testing.T) {
	f := newFrames(bytes.NewReader(append(frame('d', make([]byte, 5*gulpBytes)), frame('d', nil)...)))
	for n := 0; n < 2; {
		_, _, ok, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			n++
			continue
		}
		if err := f.fill(); err != nil {
			t.Fatal(err)
		}
	}
	_ = f.fill()
	if len(f.buf) != gulpBytes {
		t.Errorf("the buffer keeps %d bytes", len(f.buf))
	}
}

func TestFramesDoNotTrustALength(t *testing.T) {
	for _, length := range []uint32{0, 3, maxFrame + 1, 0xffffffff} {
		f := newFrames(bytes.NewReader(binary.BigEndian.AppendUint32([]byte{'d'}, length)))
		if err := f.fill(); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := f.next(); err == nil {
			t.Errorf("length %d was accepted", length)
		}
	}
	// A long message announced and never sent costs no memory.
	f := newFrames(io.MultiReader(bytes.NewReader(binary.BigEndian.AppendUint32([]byte{'d'}, 1<<30)), iotest.ErrReader(io.EOF)))
	_ = f.fill()
	_ = f.fill()
	if len(f.buf) > gulpBytes {
		t.Errorf("the buffer grew to %d bytes", len(f.buf))
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(append(frame('d', []byte("abc")), frame('k', nil)...))
	f.Fuzz(func(t *testing.T, stream []byte) {
		fr := newFrames(iotest.OneByteReader(bytes.NewReader(stream)))
		var got []byte
		for {
			kind, body, ok, err := fr.next()
			if err != nil {
				break
			}
			if ok {
				got = append(got, frame(kind, body)...)
				continue
			}
			if fr.fill() != nil {
				break
			}
		}
		if !bytes.HasPrefix(stream, got) {
			t.Fatalf("%q became %q", stream, got)
		}
	})
}
