package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// moduleRoot is the tree that holds this package.
func moduleRoot(t *testing.T) fs.FS {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return os.DirFS(root)
}
