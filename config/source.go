package config

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	sourceName = "PGCRM_DATABASE_URL"
	stateName  = "PGCRM_STATE_DATABASE_URL"
)

// libpqNames say where a database is, in libpq's own words. One of them
// suffices for a source without a URL; user and password alone do not.
var libpqNames = []string{"PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE", "PGPORT"}

// finish applies the fallbacks and checks what concerns several variables.
func (s *Source) finish(env *environ, p *problems, needed bool) {
	s.fallBack(env, p, needed)
	checkURL(&s.URL, p)
	warnUnverified(&s.URL, env)
	if !s.StateURL.IsSet() && !env.broken[stateName] {
		s.StateURL = s.URL
	} else if s.StateURL.IsSet() {
		checkURL(&s.StateURL, p)
		warnUnverified(&s.StateURL, env)
	}
	if !env.broken["PGCRM_NAME"] {
		s.name(env, p)
	}
}

func (s *Source) fallBack(env *environ, p *problems, needed bool) {
	if s.URL.IsSet() || env.broken[sourceName] {
		return
	}
	const fallback = "DATABASE_URL"
	if value, ok := env.Lookup(fallback); ok {
		s.URL = Secret{name: fallback, value: value, file: env.files[fallback]}
		return
	}
	if env.broken[fallback] || !needed {
		return
	}
	for _, name := range libpqNames {
		if env.vars[name] != "" {
			return
		}
	}
	p.add(sourceName, "is not set, nor is DATABASE_URL or PGHOST",
		"give the source database, such as postgres://pgcrm:password@host:5432/app")
}

// checkURL tries whether pgx can read the connection string. Its error quotes
// the string, so that only the name of a file it could not read is kept.
func checkURL(s *Secret, p *problems) {
	if !s.IsSet() {
		return
	}
	_, err := pgconn.ParseConfig(s.value)
	if err == nil {
		return
	}
	name := s.name
	if s.file != "" {
		name += fileSuffix
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		p.add(name, "names a certificate or key file that cannot be read: "+pe.Err.Error(), "mend sslrootcert, sslcert or sslkey")
		return
	}
	mend := "give one such as postgres://user:password@host:5432/database, with special characters of the password %-encoded"
	if quoted(s.value) {
		mend += "; take off the quotes around it"
	}
	p.add(name, "is not a Postgres URL or key=value list", mend)
}

// warnUnverified warns of a connection to a public host that may go in the clear,
// or to whoever answers there: libpq's default asks for neither encryption nor a
// certificate.
func warnUnverified(s *Secret, env *environ) {
	if !s.IsSet() {
		return
	}
	c, err := pgconn.ParseConfig(s.value)
	if err != nil {
		return
	}
	ways := []*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}
	for _, w := range append(ways, c.Fallbacks...) {
		verified := w.TLSConfig != nil && (!w.TLSConfig.InsecureSkipVerify || w.TLSConfig.VerifyPeerCertificate != nil)
		if verified || strings.HasPrefix(w.Host, "/") || private(w.Host) {
			continue
		}
		env.warnings = append(env.warnings, s.name+": the database is on a public host, and its certificate is not verified; add sslmode=verify-full, and sslrootcert with the provider's CA where it is not a public one")
		return
	}
}

var slotForm = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// name gives slot, publication and schema the common name where they have none
// of their own, and checks each by the rule that Postgres has for it.
func (s *Source) name(env *environ, p *problems) {
	const slotRule = "takes lower-case letters, digits and _ only, 1 to 63 of them"
	common := s.Name
	if !slotForm.MatchString(common) {
		p.add("PGCRM_NAME", slotRule, "give one such as pgcrm_sales")
		common = "pgcrm"
	} else if strings.HasPrefix(common, "pg_") && s.Schema == "" {
		p.add("PGCRM_NAME", "starts with pg_, which Postgres keeps for its own schemas", "give one such as pgcrm_sales")
	} else if ownSchema(common) && s.Schema == "" {
		p.add("PGCRM_NAME", "is the name of a schema that others use", "give one such as pgcrm_sales")
	}
	own := func(name string, field *string, check func(string) string, example string) {
		if *field == "" {
			if !env.given(name) {
				*field = common
			}
			return
		}
		if what := check(*field); what != "" {
			p.add(name, what, "give one such as "+example+", or unset it for PGCRM_NAME")
		}
	}
	own("PGCRM_SLOT", &s.Slot, func(v string) string {
		if !slotForm.MatchString(v) {
			return slotRule
		}
		return ""
	}, "pgcrm_sales")
	own("PGCRM_PUBLICATION", &s.Publication, identifier, "pgcrm_sales")
	own("PGCRM_SCHEMA", &s.Schema, func(v string) string {
		switch {
		case strings.HasPrefix(v, "pg_"):
			return "starts with pg_, which Postgres keeps for its own schemas"
		case ownSchema(v):
			return "names a schema that others use"
		}
		return identifier(v)
	}, "pgcrm_state")
}

// ownSchema reports the schemas that are never pgcrm's to create or drop.
func ownSchema(name string) bool { return name == "public" || name == "information_schema" }

// identifier checks what Postgres takes as a quoted identifier: up to 63 bytes.
func identifier(name string) string {
	if len(name) > 63 {
		return "is longer than 63 bytes"
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "holds a control character or is not UTF-8"
	}
	return ""
}
