package cdc

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/change"
)

func TestParseHistory(t *testing.T) {
	for content, want := range map[string]map[int32]change.LSN{
		"": {},
		"1\t0/3000110\tno recovery target specified\n\n2\t1/A0\tbefore 2026-01-01 00:00:00+00\n": {1: 0x3000110, 2: 0x1000000A0},
		"# a comment\n1\t0/3000110\n": {1: 0x3000110},
		"1\tnowhere\n":                nil,
		"one\t0/1\n":                  nil,
	} {
		if diff := cmp.Diff(want, parseHistory(content)); diff != "" {
			t.Errorf("%q: %s", content, diff)
		}
	}
}
