package cdc

import (
	"testing"
	"time"
)

// It is rested before a read only while a backlog comes, and only where the read
// before has emptied the socket.
func TestRestsWhileABacklogComes(t *testing.T) {
	const room = 256 << 10
	now := time.Unix(1_800_000_000, 0)
	var g gulps
	take := func(after time.Duration, n, size int) bool {
		now = now.Add(after)
		g.took(n, size, now)
		return g.due()
	}
	for i := range 1000 { // 200 transactions a second
		if take(spell, 600, room) {
			t.Fatalf("a rest after %d reads of a trickle", i+1)
		}
	}
	reads := 1
	for !take(10*time.Microsecond, 300, room) { // each row by itself
		if reads++; reads > torrent/300+2 {
			t.Fatalf("no rest after %d reads of a backlog", reads)
		}
	}
	if !take(rest, 20<<10, room) {
		t.Error("no rest though there is more to come")
	}
	if take(rest, room, room) {
		t.Error("a rest though the socket is not empty")
	}
	if !take(0, 100, room) {
		t.Error("the rest of a gulp ends the gulping")
	}
	if take(rest, 100, room) {
		t.Error("a rest though next to nothing came")
	}
	if take(time.Millisecond, 100, room) || take(time.Second, room, room) {
		t.Error("a rest at once")
	}
	if !take(time.Microsecond, 100, room) {
		t.Error("no rest after a lot at once")
	}
}
