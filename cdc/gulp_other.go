//go:build !linux

package cdc

import "net"

// gulping returns the connection as it is: elsewhere nothing was measured.
func gulping(conn net.Conn) (net.Conn, error) { return conn, nil }
