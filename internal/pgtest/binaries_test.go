package pgtest

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFindBinaries(t *testing.T) {
	t.Parallel()
	both := func(dirs ...string) []string {
		var files []string
		for _, dir := range dirs {
			files = append(files, dir+"/initdb", dir+"/postgres")
		}
		return files
	}
	debian := func(v string) string { return "/usr/lib/postgresql/" + v + "/bin" }
	for name, tc := range map[string]struct {
		env    string
		files  []string // what exists
		config string   // what pg_config --bindir says
		path   string   // the directory that PATH leads to
		want   string
		errHas []string
	}{
		"environment first":    {env: "/opt/pg", files: both("/opt/pg", debian("18")), want: "/opt/pg"},
		"environment is wrong": {env: "/opt/pg", files: both(debian("18")), errHas: []string{BinEnv, "/opt/pg"}},
		"highest, as a number": {files: both(debian("9"), debian("14"), debian("17")), want: debian("17")},
		"not one without a server": {
			files: append(both(debian("15")), debian("17")+"/initdb"), want: debian("15"),
		},
		"pg_config next":       {files: both("/opt/a", "/opt/b"), config: "/opt/a", path: "/opt/b", want: "/opt/a"},
		"PATH last":            {files: both("/opt/b"), path: "/opt/b", want: "/opt/b"},
		"client packages only": {config: "/opt/a", errHas: []string{"apt-get install postgresql", BinEnv}},
		"nothing":              {errHas: []string{"apt-get install postgresql", BinEnv}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := search{
				env: func(name string) string {
					if name == BinEnv {
						return tc.env
					}
					return ""
				},
				glob: func(pattern string) ([]string, error) {
					var dirs []string
					for _, f := range tc.files {
						dir := filepath.Dir(f)
						if ok, err := filepath.Match(pattern, dir); ok && err == nil && !slices.Contains(dirs, dir) {
							dirs = append(dirs, dir)
						}
					}
					return dirs, nil
				},
				lookPath: func(file string) (string, error) {
					switch {
					case file == "pg_config" && tc.config != "":
						return "/usr/bin/pg_config", nil
					case file == "initdb" && tc.path != "":
						return tc.path + "/initdb", nil
					case slices.Contains(tc.files, file):
						return file, nil
					}
					return "", fs.ErrNotExist
				},
				bindir: func(string) (string, error) { return tc.config, nil },
			}.find()
			if got != tc.want {
				t.Errorf("found %q, want %q (%v)", got, tc.want, err)
			}
			if tc.errHas != nil && !errors.Is(err, ErrNoBinaries) {
				t.Errorf("error %v, want ErrNoBinaries", err)
			}
			for _, has := range tc.errHas {
				if err == nil || !strings.Contains(err.Error(), has) {
					t.Errorf("error %v, want one that says %q", err, has)
				}
			}
		})
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 18beta1\n":                        18,
		"postgres (PostgreSQL) 9.6.1\n":                          9,
		"postgres (PostgreSQL) devel\n":                          0,
		"postgres 15.18\n":                                       0,
		"":                                                       0,
	} {
		got, err := parseVersion(out)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("parseVersion(%q) = %d, %v; want %d", out, got, err, want)
		}
	}
}
