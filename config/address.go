package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ListenOff is the Listen value that turns the HTTP server off.
const ListenOff = "off"

// Listen is a host:port to listen on, or "off".
type Listen string

// Off reports that nothing is to be served.
func (l Listen) Off() bool { return l == ListenOff }

// EnvDecode reads 127.0.0.1:9847, :9847, [::1]:9847 or off. Port 0 takes a free
// one.
func (l *Listen) EnvDecode(value string) error {
	value = strings.TrimSpace(value)
	if strings.EqualFold(value, ListenOff) {
		*l = ListenOff
		return nil
	}
	const mend = "give host:port, such as 127.0.0.1:9847 or :9847, or off"
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		return &fault{"is not an address", mend}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(n, 10) {
		return &fault{"has no port from 0 to 65535", mend}
	}
	if strings.ContainsAny(host, "/@ \t") {
		return &fault{"has a host that is no name or address", mend}
	}
	*l = Listen(value)
	return nil
}

// BaseURL is where the CRM's API is, without a trailing slash.
type BaseURL string

// EnvDecode reads an absolute URL. Plain http would send the token in the
// clear, so it is taken for loopback and private addresses only, and for names
// that cannot be public ones: without a dot, as containers have them, or in a
// zone kept for private use. What such a name resolves to is the client's to
// check when it connects.
func (b *BaseURL) EnvDecode(value string) error {
	u, err := url.Parse(strings.TrimSpace(value))
	const mend = "give one such as https://api.hubapi.com"
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" {
		return &fault{"is not an absolute URL", mend}
	}
	if u.User != nil {
		return &fault{"holds a user or password", "leave them out; the token goes into HUBSPOT_ACCESS_TOKEN"}
	}
	if u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return &fault{"has a query or fragment", mend}
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return &fault{"has no port from 1 to 65535", mend}
		}
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !private(u.Hostname()) {
			return &fault{"is plain http to a public host", "use https; http goes only to loopback and private addresses"}
		}
	default:
		return &fault{"is neither https nor http", mend}
	}
	*b = BaseURL(strings.TrimRight(u.Scheme+"://"+u.Host+u.EscapedPath(), "/"))
	return nil
}

// privateZones are never delegated in the public DNS: RFC 6761 (localhost), RFC
// 6762 (local, which Kubernetes' cluster.local lies in), internal, reserved by
// ICANN in 2024, and svc, Kubernetes' short form.
var privateZones = []string{".localhost", ".local", ".internal", ".svc"}

func private(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
	}
	if !strings.Contains(host, ".") {
		return !numeric(host)
	}
	for _, zone := range privateZones {
		if strings.HasSuffix(host, zone) {
			return true
		}
	}
	return false
}

// numeric reports a host such as 134744072 or 0x8080808, which some resolvers
// read as a (public) IPv4 address.
func numeric(host string) bool {
	_, err := strconv.ParseUint(host, 0, 64)
	return err == nil
}
