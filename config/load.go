package config

import "slices"

// A Need is something a command cannot do without. Commands that work offline
// ask for less, and run where less is set.
type Need int

const (
	// NeedDatabase asks for a source database.
	NeedDatabase Need = iota
	// NeedCRM asks for a token or OAuth credentials.
	NeedCRM
	// NeedMapping asks for a mapping.
	NeedMapping
)

// Load reads the environment, pairs as os.Environ gives them, and the files
// that it names. What is set is always checked; what is missing is a problem
// only if it is needed. All problems come together as an *[Error]. The
// warnings are lines for the log, and come even with an error.
func Load(pairs []string, needs ...Need) (*Config, []string, error) {
	p := &problems{}
	env := newEnviron(pairs, p)
	cfg := &Config{}
	for _, l := range leaves(cfg) {
		l.load(env, p)
	}
	cfg.Source.finish(env, p, slices.Contains(needs, NeedDatabase))
	cfg.CRM.finish(env, p, slices.Contains(needs, NeedCRM))
	err := cfg.Mapping.Document.locate(env)
	if slices.Contains(needs, NeedMapping) {
		cfg.Mapping.Document.require(err, p)
	}
	warnings := append(env.warnings, env.unknown()...)
	if err := p.err(); err != nil {
		return nil, warnings, err
	}
	return cfg, warnings, nil
}
