package cdc

import "time"

// A server that decodes a backlog sends each row by itself, and an eager reader is
// woken for each: most of the time of both goes into that. Whoever reads in gulps,
// with a rest before each, has the server run on: it decodes about half as fast
// again, or twice (see bench). At a trickle a rest would only be latency.

const (
	// rest is how long the socket is left alone before a gulp.
	rest = 500 * time.Microsecond
	// torrent is how many bytes within spell make reading in gulps worth while:
	// some 13 MB/s.
	torrent = 64 << 10
	spell   = 5 * time.Millisecond
	// sip is a gulp so small that the backlog is over.
	sip = 4 << 10
)

// gulps decides when to rest.
type gulps struct {
	on    bool
	short bool // the last read has emptied the socket
	since time.Time
	bytes int // since then
}

// due reports whether to rest before the next read.
func (g *gulps) due() bool { return g.on && g.short }

// took notes a read of n bytes into room for size.
func (g *gulps) took(n, size int, now time.Time) {
	rested := g.due()
	g.short = n < size
	if g.on {
		// A sip without a rest is what was left of a gulp.
		g.on = !rested || n >= sip
		g.bytes, g.since = 0, now
		return
	}
	if now.Sub(g.since) > spell {
		g.bytes, g.since = 0, now
	}
	g.bytes += n
	g.on = g.bytes >= torrent
}
