package cdc

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	// gulpBytes is what one read asks the kernel for: many frames in one system
	// call while catching up.
	gulpBytes = 256 << 10
	// maxFrame bounds a frame's announced length. Postgres builds messages in a
	// StringInfo, which ends at 1 GiB.
	maxFrame    = 1<<30 + 1<<16
	frameHeader = 5
)

// frames cuts the server's bytes into protocol messages: a type byte, a length
// that counts itself, a body.
//
// Until the stream starts, pgconn reads through it as an [io.Reader]. Read never
// hands out bytes beyond the message that was begun, so that pgconn's own buffer
// is empty whenever it has returned a message, and next can take over.
type frames struct {
	r      io.Reader
	buf    []byte
	rp, wp int // unread bytes are buf[rp:wp]
	rest   int // of the message that Read has begun, the bytes not handed out
}

func newFrames(r io.Reader) *frames { return &frames{r: r, buf: make([]byte, gulpBytes)} }

// Read hands out bytes of at most one message.
func (f *frames) Read(p []byte) (int, error) {
	for f.rest == 0 {
		n, err := f.length()
		if err != nil {
			return 0, err
		}
		if n > 0 {
			f.rest = n
			break
		}
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	if f.rp == f.wp {
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.buf[f.rp:min(f.wp, f.rp+f.rest)])
	f.rp += n
	f.rest -= n
	return n, nil
}

// next returns the next buffered message. ok is false where fill has to be
// called first. The body is valid until then.
func (f *frames) next() (kind byte, body []byte, ok bool, err error) {
	n, err := f.length()
	if err != nil || n == 0 || f.wp-f.rp < n {
		return 0, nil, false, err
	}
	kind, body = f.buf[f.rp], f.buf[f.rp+frameHeader:f.rp+n:f.rp+n]
	f.rp += n
	return kind, body, true, nil
}

// length returns the size of the message at rp, header included, or 0 while the
// header has not arrived.
func (f *frames) length() (int, error) {
	if f.wp-f.rp < frameHeader {
		return 0, nil
	}
	n := binary.BigEndian.Uint32(f.buf[f.rp+1:])
	if n < 4 || n > maxFrame {
		return 0, fmt.Errorf("the server sent a message of type %q with length %d: this is not the Postgres protocol", f.buf[f.rp], n)
	}
	return int(n) + 1, nil
}

// fill reads once. It makes room first: unread bytes move to the front, and the
// buffer doubles only when it is full, so that an announced length alone costs
// no memory. It shrinks again once a large message has been taken.
func (f *frames) fill() error {
	switch {
	case f.rp == f.wp:
		f.rp, f.wp = 0, 0
		if len(f.buf) > gulpBytes {
			f.buf = make([]byte, gulpBytes)
		}
	case f.wp == len(f.buf) && f.rp == 0:
		f.buf = append(f.buf, make([]byte, len(f.buf))...)
	case f.rp > 0 && len(f.buf)-f.wp < len(f.buf)/2:
		f.wp = copy(f.buf, f.buf[f.rp:f.wp])
		f.rp = 0
	}
	n, err := f.r.Read(f.buf[f.wp:])
	f.wp += n
	if n > 0 {
		return nil // the error, if it lasts, comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}
