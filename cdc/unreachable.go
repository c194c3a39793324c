package cdc

import (
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
)

// telling says on one line what keeps a connection from being made, and what to
// do about it. pgx tries every address of every host, and each again without TLS
// where that is allowed; its own text has a line for each.
func telling(err error) (says, mend string) {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	tried := attempts(err)
	switch {
	case errors.As(err, &name):
		return name.Error(), "connect by a name that the certificate has, have one made for this host, or set sslmode=verify-ca in PGCRM_DATABASE_URL where its CA signs for nobody else"
	case errors.As(err, &authority):
		return authority.Error(), "set sslrootcert in PGCRM_DATABASE_URL to the file with the certificate of the CA that signed the server's"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return invalid.Error(), "have the server's certificate renewed, or set this machine's clock"
	case strings.Contains(err.Error(), "server refused TLS"):
		return oneLine(err), "the server offers no TLS: turn it on there, or set sslmode in PGCRM_DATABASE_URL if the network is trusted"
	case !transientNetwork(err):
		return oneLine(err), "the server's certificate is not accepted: set sslrootcert and sslmode in PGCRM_DATABASE_URL"
	case len(tried) == 0:
		says = oneLine(err)
	default:
		var texts []string
		for _, e := range tried {
			if text := e.Error(); !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
		}
		says = strings.Join(texts, ", ")
	}
	switch {
	case every(tried, func(e error) bool { return errors.As(e, new(*net.DNSError)) }):
		mend = "check the host name in PGCRM_DATABASE_URL"
	case every(tried, func(e error) bool { return errors.Is(e, syscall.ENETUNREACH) }):
		mend = "the host has an IPv6 address only and this machine has no IPv6: use the provider's IPv4 address or add-on"
	default:
		mend = "is it running, and does a firewall let us through? Check host and port in PGCRM_DATABASE_URL"
	}
	return says, mend
}

// attempts are what looking up each host and dialling each address met.
func attempts(err error) []error {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself, for more than the first
	case *net.OpError, *net.DNSError:
		return []error{e}
	case interface{ Unwrap() error }:
		return attempts(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []error
		for _, each := range e.Unwrap() {
			all = append(all, attempts(each)...)
		}
		return all
	}
	return nil
}

func every(errs []error, is func(error) bool) bool {
	return len(errs) > 0 && !slices.ContainsFunc(errs, func(e error) bool { return !is(e) })
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
