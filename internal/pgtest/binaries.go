package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// BinEnv names the environment variable that says which server binaries to
// use: the path of a directory that holds initdb and postgres.
const BinEnv = "PGCRM_TEST_PG_BIN"

// ErrNoBinaries is returned, wrapped with the places searched, where no server
// binaries are found.
var ErrNoBinaries = errors.New("no Postgres server binaries found")

// FindBinaries returns the directory of the server binaries to use: $BinEnv if
// set, else the highest version under /usr/lib/postgresql, else what pg_config
// or PATH lead to.
func FindBinaries(ctx context.Context) (string, error) {
	return search{
		env:      os.Getenv,
		glob:     filepath.Glob,
		lookPath: exec.LookPath,
		bindir: func(pgConfig string) (string, error) {
			out, err := exec.CommandContext(ctx, pgConfig, "--bindir").Output()
			return strings.TrimSpace(string(out)), err
		},
	}.find()
}

// search is FindBinaries with the machine passed in.
type search struct {
	env      func(string) string
	glob     func(string) ([]string, error)
	lookPath func(string) (string, error)
	bindir   func(pgConfig string) (string, error)
}

func (s search) find() (string, error) {
	if dir := s.env(BinEnv); dir != "" {
		if err := s.complete(dir); err != nil {
			return "", fmt.Errorf("%w: %s=%s: %w", ErrNoBinaries, BinEnv, dir, err)
		}
		return dir, nil
	}
	dirs, err := s.glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.SortFunc(dirs, func(a, b string) int { return dirVersion(b) - dirVersion(a) })
	if pgConfig, err := s.lookPath("pg_config"); err == nil {
		if dir, err := s.bindir(pgConfig); err == nil && dir != "" {
			dirs = append(dirs, dir)
		}
	}
	if initdb, err := s.lookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(initdb))
	}
	for _, dir := range dirs {
		if s.complete(dir) == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%w under /usr/lib/postgresql, by pg_config, or in PATH; run `apt-get install postgresql`, "+
		"or set %s to the directory that holds initdb and postgres", ErrNoBinaries, BinEnv)
}

// complete reports what dir lacks of the two programs needed.
func (s search) complete(dir string) error {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := s.lookPath(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// dirVersion reads 15 out of /usr/lib/postgresql/15/bin, 0 if there is none.
func dirVersion(dir string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	if err != nil {
		return 0
	}
	return n
}

// binVersion asks the server binary in dir for its major version.
func binVersion(ctx context.Context, dir string) (int, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask %s/postgres for its version: %w", dir, err)
	}
	return parseVersion(string(out))
}

// parseVersion reads 18 out of "postgres (PostgreSQL) 18beta1 (Debian ...)".
func parseVersion(out string) (int, error) {
	_, rest, ok := strings.Cut(out, "(PostgreSQL) ")
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); ok && end > 0 {
		return strconv.Atoi(rest[:end])
	}
	return 0, fmt.Errorf("no version in %q", strings.TrimSpace(out))
}
