package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// arrow is one import statement.
type arrow struct {
	dir  string // of the package, inside the module
	test bool   // in a _test.go file
	path string // what it imports
}

// readArrows reads the import statements of all Go files under root: of every
// operating system and build tag, which `go list` would leave out, and by
// opening the files, so that a cached test result notices an edit.
func readArrows(root fs.FS) ([]arrow, error) {
	seen := map[arrow]bool{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if dir == "." {
			dir = ""
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			seen[arrow{dir: dir, test: strings.HasSuffix(name, "_test.go"), path: imported}] = true
		}
		return nil
	})
	arrows := slices.SortedFunc(maps.Keys(seen), func(a, b arrow) int {
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	return arrows, err
}

// check returns a line per arrow that the plan does not allow.
func check(plan []room, arrows []arrow) []string {
	var wrong []string
	for _, a := range arrows {
		from, ok := roomOf(plan, a.dir)
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s is no room: give it a line in rooms_test.go", a.dir))
			continue
		}
		if why := from.refuses(plan, a); why != "" {
			kind := "imports"
			if a.test {
				kind = "imports (in a test)"
			}
			wrong = append(wrong, fmt.Sprintf("%s %s %s: %s", name(a.dir), kind, a.path, why))
		}
	}
	return slices.Compact(wrong)
}

func (r room) refuses(plan []room, a arrow) string {
	if a.path != module && !strings.HasPrefix(a.path, module+"/") {
		host, _, _ := strings.Cut(a.path, "/")
		if !strings.Contains(host, ".") || a.test || allows(r.outside, a.path) {
			return "" // what is tested with is not shipped
		}
		return fmt.Sprintf("outside the standard library %s may import %s", name(r.dir), list(r.outside))
	}
	to, ok := roomOf(plan, strings.TrimPrefix(strings.TrimPrefix(a.path, module), "/"))
	switch {
	case !ok:
		return "which is no room: give it a line in rooms_test.go"
	case to.dir == r.dir, slices.Contains(r.imports, anything), slices.Contains(r.imports, to.dir),
		a.test && slices.Contains(r.tests, to.dir):
		return ""
	}
	allowed := r.imports
	if a.test {
		allowed = append(slices.Clone(r.imports), r.tests...)
	}
	return fmt.Sprintf("of ours it may import %s", list(allowed))
}

// roomOf finds the room that dir is or is in: the deepest one.
func roomOf(plan []room, dir string) (room, bool) {
	for d := dir; d != "." && d != ""; d = path.Dir(d) {
		for _, r := range plan {
			if r.dir == d {
				return r, true
			}
		}
	}
	for _, r := range plan {
		if dir == "" && r.dir == "" {
			return r, true
		}
	}
	return room{}, false
}

// allows reports whether one of the modules holds the package.
func allows(modules []string, pkg string) bool {
	return slices.ContainsFunc(modules, func(m string) bool {
		return m == anything || pkg == m || strings.HasPrefix(pkg, m+"/")
	})
}

func name(dir string) string {
	if dir == "" {
		return "main"
	}
	return dir
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

func TestArrows(t *testing.T) {
	arrows, err := readArrows(moduleRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(arrows) == 0 {
		t.Fatal("no import statement found")
	}
	for _, line := range check(rooms, arrows) {
		t.Error(line)
	}
}

// TestSiblingsAreStrangers holds the table itself to what must never be
// allowed, however it is edited.
func TestSiblingsAreStrangers(t *testing.T) {
	siblings := []string{"cdc", "mapping", "sink", "ledger"}
	var wrong []arrow
	for _, from := range siblings {
		for _, to := range append([]string{"config", "cli", "pipeline", "admin"}, siblings...) {
			if from != to {
				wrong = append(wrong, arrow{dir: from, path: module + "/" + to})
			}
		}
	}
	for _, r := range rooms {
		if r.dir != "cli" && r.dir != "config" {
			wrong = append(wrong, arrow{dir: r.dir, path: module + "/config"})
		}
		if r.dir != "admin" && r.dir != "" {
			wrong = append(wrong, arrow{dir: "admin", path: module + "/" + r.dir})
		}
		if r.dir != "cli" && r.dir != "bench" && r.dir != pgtest {
			wrong = append(wrong, arrow{dir: r.dir, path: module + "/" + pgtest})
		}
	}
	for _, std := range []string{"change", simul} {
		wrong = append(wrong, arrow{dir: std, path: "github.com/jackc/pgx/v5"})
	}
	wrong = append(wrong,
		arrow{dir: simul, path: module + "/sink/hubspot"},
		arrow{dir: "sink/hubspot", path: module + "/" + simul},
		arrow{dir: "sink/hubspot", path: module + "/change"},
		arrow{dir: "sink/hubspot", path: module + "/sink"},
		arrow{dir: "pipeline", path: module + "/cdc"},
		arrow{dir: "pipeline", path: module + "/mapping"},
	)
	for _, a := range wrong {
		if len(check(rooms, []arrow{a})) == 0 {
			t.Errorf("the table allows %s to import %s", name(a.dir), a.path)
		}
	}
}

func TestCheckFindsBadArrows(t *testing.T) {
	t.Parallel()
	plan := []room{
		{dir: "", imports: []string{"cli"}},
		{dir: "noun"},
		{dir: "left", imports: []string{"noun"}, tests: []string{"tool"}, outside: []string{"example.com/lib"}},
		{dir: "left/client"},
		{dir: "right", imports: []string{"noun"}, outside: []string{anything}},
		{dir: "cli", imports: []string{anything}},
		{dir: "tool"},
	}
	ours := func(dir string) string { return module + "/" + dir }
	for name, tc := range map[string]struct {
		file, src string
		want      []string
	}{
		"std":                  {"noun/a.go", `import ("fmt"; "encoding/json")`, nil},
		"allowed":              {"left/a.go", `import "` + ours("noun") + `"`, nil},
		"allowed library":      {"left/a.go", `import "example.com/lib/v2/sub"`, nil},
		"inside the room":      {"left/a.go", `import "` + ours("left/deep") + `"`, nil},
		"from inside the room": {"left/deep/a.go", `import "` + ours("noun") + `"`, nil},
		"test":                 {"left/a_test.go", `import ("` + ours("tool") + `"; "example.com/testlib")`, nil},
		"any":                  {"cli/a.go", `import "` + ours("tool") + `"`, nil},
		"main":                 {"main.go", `import "` + ours("cli") + `"`, nil},
		"hidden and testdata":  {"left/testdata/x/a.go", `import "` + ours("right") + `"`, nil},

		"sibling": {
			"left/a.go", `import "` + ours("right") + `"`,
			[]string{"left imports " + ours("right") + ": of ours it may import noun"},
		},
		"sibling, under another name, on another system": {
			"left/a_windows.go", `import r "` + ours("right") + `"`,
			[]string{"left imports " + ours("right") + ": of ours it may import noun"},
		},
		"deep package of a sibling": {
			"left/deep/a.go", `import "` + ours("right/deep") + `"`,
			[]string{"left/deep imports " + ours("right/deep") + ": of ours it may import noun"},
		},
		"room below a room is another room": {
			"left/client/a.go", `import "` + ours("noun") + `"`,
			[]string{"left/client imports " + ours("noun") + ": of ours it may import nothing"},
		},
		"and not its landlord's": {
			"left/a.go", `import "` + ours("left/client") + `"`,
			[]string{"left imports " + ours("left/client") + ": of ours it may import noun"},
		},
		"sibling in a test": {
			"left/a_test.go", `import "` + ours("right") + `"`,
			[]string{"left imports (in a test) " + ours("right") + ": of ours it may import noun, tool"},
		},
		"test tool in the program": {
			"left/a.go", `import "` + ours("tool") + `"`,
			[]string{"left imports " + ours("tool") + ": of ours it may import noun"},
		},
		"library": {
			"noun/a.go", `import "example.com/lib"`,
			[]string{"noun imports example.com/lib: outside the standard library noun may import nothing"},
		},
		"other library": {
			"left/a.go", `import "example.com/library"`,
			[]string{"left imports example.com/library: outside the standard library left may import example.com/lib"},
		},
		"room that does not exist": {
			"cli/a.go", `import "` + ours("unknown") + `"`,
			[]string{"cli imports " + ours("unknown") + ": which is no room: give it a line in rooms_test.go"},
		},
		"no room": {
			"unknown/a.go", `import "fmt"`,
			[]string{"unknown is no room: give it a line in rooms_test.go"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrows, err := readArrows(fstest.MapFS{
				tc.file:       {Data: []byte("package p\n" + tc.src + "\n")},
				".tools/a.go": {Data: []byte("no Go at all")},
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, check(plan, arrows)); diff != "" {
				t.Errorf("check (-want +got):\n%s", diff)
			}
		})
	}
}
