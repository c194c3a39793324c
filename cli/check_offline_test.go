package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckWritesTheLockAndChecksOffline(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "pgcrm.yaml")
	delete(w.env, "PGCRM_MAPPING")
	w.env["PGCRM_MAPPING_FILE"] = file
	save := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What the portal and the tables look like is written down even where the
	// mapping does not suit them.
	save(strings.Replace(worldMapping, "seats: seats", "seats: seat", 1))
	if o := w.run("check", "--update-lock"); o.code != exitWrong || !strings.Contains(o.stdout, "pgcrm.lock was written") {
		t.Errorf("got %+v", o)
	}
	alone := func(args ...string) output { return outside(t, []string{"PGCRM_MAPPING_FILE=" + file}, args...) }
	if o := alone("check", "--offline"); o.code != exitWrong || !strings.Contains(o.stdout, "did you mean seats?") {
		t.Errorf("got %+v", o)
	}
	save(worldMapping)
	if o := alone("check", "--offline"); o.code != exitDone || !strings.Contains(o.stdout, "1 mapping of 1 table suit") {
		t.Errorf("got %+v", o)
	}
	if o := w.run("check", "--update-lock"); !strings.Contains(o.stdout, "pgcrm.lock is as it was") {
		t.Errorf("got %+v", o)
	}
	// A test beside it runs with the lock of a real database and portal.
	test := filepath.Join(filepath.Dir(file), "pgcrm.test.yaml")
	if err := os.WriteFile(test, []byte("- row: {id: 7, name: Acme, plan: pro}\n  expect: {key: 7, properties: {name: Acme, plan: pro, seats: null}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := alone("test"); o.code != exitDone || o.stdout != "1 passed, 0 failed\n" {
		t.Errorf("got %+v", o)
	}

	if o := alone("check", "--offline", "--update-lock"); o.code != exitWrong {
		t.Errorf("got %+v", o)
	}
	save("version: 1\n")
	if o := w.run("check", "--update-lock"); o.code != exitWrong || !strings.Contains(o.stdout, "was not written") {
		t.Errorf("got %+v", o)
	}
	save(worldMapping)
	if err := os.Remove(filepath.Join(filepath.Dir(file), lockName)); err != nil {
		t.Fatal(err)
	}
	if o := alone("check", "--offline"); o.code != exitWrong || !strings.Contains(o.stdout, "pgcrm check --update-lock") {
		t.Errorf("got %+v", o)
	}
}
