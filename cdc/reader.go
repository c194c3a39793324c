package cdc

import (
	"encoding/binary"
	"fmt"

	"github.com/pgcrm/pgcrm/change"
)

// reader takes fields off a message. Past the end it gives zeros and sets short.
type reader struct {
	src   []byte
	short bool
}

func (r *reader) byte() byte {
	if len(r.src) < 1 {
		r.short = true
		return 0
	}
	b := r.src[0]
	r.src = r.src[1:]
	return b
}

func (r *reader) uint16() uint16 {
	if len(r.src) < 2 {
		r.short, r.src = true, nil
		return 0
	}
	v := binary.BigEndian.Uint16(r.src)
	r.src = r.src[2:]
	return v
}

func (r *reader) uint32() uint32 {
	if len(r.src) < 4 {
		r.short, r.src = true, nil
		return 0
	}
	v := binary.BigEndian.Uint32(r.src)
	r.src = r.src[4:]
	return v
}

func (r *reader) uint64() uint64 {
	if len(r.src) < 8 {
		r.short, r.src = true, nil
		return 0
	}
	v := binary.BigEndian.Uint64(r.src)
	r.src = r.src[8:]
	return v
}

// tuple reads a row into values, which it reuses.
func (r *reader) tuple(rel *change.Relation, values []change.Value) ([]change.Value, error) {
	n := int(r.uint16())
	if r.short {
		return values, errTruncated
	}
	if n != len(rel.Columns) {
		return values, fmt.Errorf("a row of %d columns for %s, which was announced with %d", n, rel, len(rel.Columns))
	}
	values = values[:0]
	for range n {
		switch kind := r.byte(); kind {
		case 't':
			size := r.uint32()
			if r.short || uint64(size) > uint64(len(r.src)) {
				return values, errTruncated
			}
			values = append(values, change.Value{Kind: change.Text, Text: r.src[:size:size]})
			r.src = r.src[size:]
		case 'n':
			values = append(values, change.Value{Kind: change.Null})
		case 'u':
			values = append(values, change.Value{Kind: change.Unchanged})
		default:
			if r.short {
				return values, errTruncated
			}
			return values, fmt.Errorf("unexpected column kind %q", kind)
		}
	}
	return values, nil
}

// end checks that the message was read whole.
func (r *reader) end() error {
	switch {
	case r.short:
		return errTruncated
	case len(r.src) > 0:
		return fmt.Errorf("%d bytes too many", len(r.src))
	}
	return nil
}
