package archtest

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestWhatIsPromisedIsTested finds tests that the documents name as the proof of
// something, and that are not there. A name that ends in … is the beginning of
// several.
func TestWhatIsPromisedIsTested(t *testing.T) {
	root := moduleRoot(t)
	var tests []string
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		source, err := fs.ReadFile(root, name)
		for _, m := range declared.FindAllSubmatch(source, -1) {
			tests = append(tests, string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(Test[A-Z0-9]\w*)(…?)`)
	for _, document := range []string{"ARCHITECTURE.md", path.Join("docs", "security.md")} {
		text, err := fs.ReadFile(root, document)
		if err != nil {
			t.Fatal(err)
		}
		found := named.FindAllStringSubmatch(string(text), -1)
		if len(found) < 10 {
			t.Errorf("%s names only %d tests", document, len(found))
		}
		for _, m := range found {
			there := false
			for _, test := range tests {
				there = there || test == m[1] || m[2] != "" && strings.HasPrefix(test, m[1])
			}
			if !there {
				t.Errorf("%s names %s, which is no test", document, m[0])
			}
		}
	}
}
