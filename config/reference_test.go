package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//go:generate go test . -run TestReference -update

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

func TestReference(t *testing.T) {
	path := filepath.Join("..", "docs", "configuration.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(Reference()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run go generate ./config", err)
	}
	if diff := cmp.Diff(string(have), Reference()); diff != "" {
		t.Errorf("%s is stale; run go generate ./config\n%s", path, diff)
	}
}

// TestTags asks every field of Config for a name and a meaning, once.
func TestTags(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range leaves(&Config{}) {
		doc := l.field.Tag.Get("doc")
		if l.name == "" || seen[l.name] || doc == "" || strings.HasSuffix(doc, ".") {
			t.Errorf("field %s: name %q, doc %q", l.field.Name, l.name, doc)
		}
		seen[l.name] = true
		for _, bound := range []string{"min", "max"} {
			if b := l.field.Tag.Get(bound); b != "" {
				l.parse(b) // panics on a bad tag
			}
		}
	}
}
