package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
)

// defaults are the settings of every server that Options.Settings does not
// override: logical decoding for many tests at a time, little memory, no
// durability.
func defaults() map[string]string {
	return map[string]string{
		"wal_level":                       "logical",
		"max_wal_senders":                 "50",
		"max_replication_slots":           "50",
		"max_connections":                 "200",
		"max_prepared_transactions":       "10",
		"fsync":                           "off",
		"full_page_writes":                "off",
		"shared_buffers":                  "32MB",
		"max_wal_size":                    "256MB",
		"min_wal_size":                    "32MB",
		"jit":                             "off",
		"timezone":                        "UTC",
		"log_timezone":                    "UTC",
		"log_line_prefix":                 "%m [%p] %u@%d %a ",
		"log_statement":                   "none",
		"max_logical_replication_workers": "0",
	}
}

// conf renders settings as lines of postgresql.conf, which leaves ALTER SYSTEM
// the last word, as command-line settings would not.
func conf(settings map[string]string) string {
	var b strings.Builder
	b.WriteString("\n# pgtest\n")
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		value := strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(settings[name])
		fmt.Fprintf(&b, "%s = '%s'\n", name, value)
	}
	return b.String()
}

// hba asks everybody for a password, for databases and replication alike.
const hba = `host all         all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
`

// freePort finds a port that nobody listens on. It stays below the range that
// the kernel gives to outgoing connections: a port from there may be taken by
// any client while the server is down between a kill and a restart, even by the
// one that tries to reach it, which then talks to itself.
func freePort(ctx context.Context) (int, error) {
	const low, high = 16000, 30000
	var last error
	var listen net.ListenConfig
	for range 50 {
		var b [2]byte
		rand.Read(b[:]) // never fails
		port := low + (int(b[0])<<8|int(b[1]))%(high-low)
		l, err := listen.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("find a free port on 127.0.0.1: %w", last)
}
