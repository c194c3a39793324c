package config

import (
	"regexp"
	"strings"
)

const tokenName = "HUBSPOT_ACCESS_TOKEN"

var datedVersion = regexp.MustCompile(`^20[0-9]{2}-(0[1-9]|1[0-2])$`)

// finish checks what concerns several variables.
func (c *CRM) finish(env *environ, p *problems, needed bool) {
	c.APIVersion = strings.ToLower(c.APIVersion)
	if c.APIVersion != "v3" && !datedVersion.MatchString(c.APIVersion) && !env.broken["HUBSPOT_API_VERSION"] {
		p.add("HUBSPOT_API_VERSION", "is neither v3 nor a dated version", "give v3 or a version YYYY-MM, such as 2026-03")
	}
	header(c.Token, env, p)
	header(c.RefreshToken, env, p)
	header(c.ClientSecret, env, p)

	parts := []struct {
		name string
		set  bool
	}{
		{"HUBSPOT_CLIENT_ID", env.given("HUBSPOT_CLIENT_ID")},
		{"HUBSPOT_CLIENT_SECRET", env.given("HUBSPOT_CLIENT_SECRET")},
		{"HUBSPOT_REFRESH_TOKEN", env.given("HUBSPOT_REFRESH_TOKEN")},
	}
	var set, missing []string
	for _, part := range parts {
		if part.set {
			set = append(set, part.name)
		} else {
			missing = append(missing, part.name)
		}
	}
	token := c.Token.IsSet() || env.broken[tokenName]
	switch {
	case token && len(set) > 0:
		p.add(tokenName, "is set together with "+strings.Join(set, " and "), "unset the token, or what belongs to OAuth")
	case !token && len(set) > 0:
		for _, name := range missing {
			p.add(name, "is not set, but "+strings.Join(set, " and ")+" is", "OAuth needs all three; set it, or use HUBSPOT_ACCESS_TOKEN instead")
		}
	case !token && needed:
		mend := "give a service key (in HubSpot: Development, Keys, Service keys) or a private app's token"
		if other := env.likely(tokenName); other != "" {
			mend += "; " + other + " is set but not read"
		}
		p.add(tokenName, "is not set", mend)
	}
}

// header refuses a credential that cannot stand in a header or form: pasted with
// a space, a line break, or quotes.
func header(s Secret, env *environ, p *problems) {
	if !s.IsSet() {
		return
	}
	bad := strings.ContainsFunc(s.value, func(r rune) bool { return r <= ' ' || r > '~' })
	if !bad && !quoted(s.value) {
		return
	}
	name := s.name
	if s.file != "" {
		name += fileSuffix
	}
	p.add(name, "holds a space, a line break, quotes or a character that is not ASCII", "give the credential alone")
	env.broken[s.name] = true
}
