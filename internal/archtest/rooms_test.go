package archtest

// module is the prefix of our own import paths.
const module = "github.com/pgcrm/pgcrm"

// room is a package, with the packages below it that are no rooms themselves.
type room struct {
	// dir is its path inside the module; "" is the root, package main.
	dir string
	// imports are the rooms that it may import; anything is all of them.
	imports []string
	// tests are the rooms that its tests may import besides.
	tests []string
	// outside are the modules, apart from the standard library, that it may
	// import; anything is all of them.
	outside []string
}

const anything = "*"

const (
	pgtest    = "internal/pgtest"
	failpoint = "internal/failpoint"
	simul     = "sink/hubspot/hubspotsim"
)

// rooms is the plan of the house. A new top-level package needs a line here,
// and with it a thought about who may know whom.
var rooms = []room{
	{dir: "", imports: []string{"cli"}},

	// The nouns, spoken by all, know nobody.
	{dir: "change"},

	// Siblings on the road never import each other.
	{dir: "cdc", imports: []string{"change"}, tests: []string{pgtest}, outside: []string{anything}},
	{dir: "mapping", imports: []string{"change"}, outside: []string{anything}},
	{dir: "sink", imports: []string{"change", "sink/hubspot"}, tests: []string{simul}, outside: []string{anything}},
	{dir: "ledger", imports: []string{"change"}, tests: []string{"migrations", pgtest}, outside: []string{anything}},

	// The client speaks HTTP and waits; it knows no row.
	{dir: "sink/hubspot", tests: []string{simul}, outside: []string{"github.com/cenkalti/backoff/v4"}},
	// The simulator shares no code with the client, so that a mistake in one
	// does not hide the same mistake in the other.
	{dir: simul},

	{
		dir: "pipeline", imports: []string{"change", "sink", "ledger", failpoint},
		tests:   []string{"cdc", "mapping", "migrations", "sink/hubspot", simul, pgtest},
		outside: []string{anything},
	},
	{dir: "admin", outside: []string{anything}},
	{dir: "migrations", imports: []string{failpoint}, tests: []string{pgtest}, outside: []string{anything}},

	// The environment is read in one place, which only the commands ask.
	{
		dir: "config", imports: []string{"change", "cdc", "mapping", "sink", "sink/hubspot", "ledger", "pipeline", "admin"},
		outside: []string{anything},
	},
	{dir: "cli", imports: []string{anything}, outside: []string{anything}},
	// Measures the program from outside.
	{dir: "bench", imports: []string{pgtest, simul}, outside: []string{anything}},
	{dir: "internal/e2e", tests: []string{"change", pgtest, simul}, outside: []string{anything}},

	{dir: pgtest, outside: []string{anything}},
	// Names of places, which a release compiles away.
	{dir: failpoint},
	{dir: "internal/archtest", outside: []string{anything}},
	{dir: "deploy", tests: []string{"admin"}, outside: []string{anything}},
}
