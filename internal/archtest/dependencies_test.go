package archtest

import (
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEveryDependencyHasItsReason compares go.mod with docs/dependencies.md.
func TestEveryDependencyHasItsReason(t *testing.T) {
	root := moduleRoot(t)
	names := func(file, pattern string) []string {
		text, err := fs.ReadFile(root, file)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			found[string(m[1])] = true
		}
		return slices.Sorted(maps.Keys(found))
	}
	direct := names("go.mod", `(?m)^(?:require )?\s*([a-z]\S*\.\S+/\S+) v[0-9]\S*$`)
	reasons := names("docs/dependencies.md", "(?m)^\\| `([^`]+)` \\| \\S")
	if len(direct) < 5 {
		t.Fatalf("go.mod has only %q", direct)
	}
	if diff := cmp.Diff(direct, reasons); diff != "" {
		t.Errorf("-go.mod +docs/dependencies.md\n%s", diff)
	}
}
