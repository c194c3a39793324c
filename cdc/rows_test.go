package cdc

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgcrm/pgcrm/internal/pgtest"
)

func TestReadRowsFindsKeysOfEveryShape(t *testing.T) {
	url := pgtest.Shared(t).NewDatabase(t)
	pgtest.Exec(t, url, `
		CREATE TABLE "Odd Name" ("Key" text, n bigint, v text, PRIMARY KEY (n, "Key"));
		INSERT INTO "Odd Name" VALUES ('a"b\c,{}', 1, 'one'), ('', 2, 'two'), ('NULL', 3, 'three'), ('x', 4, NULL)`)
	ctx := context.Background()
	conn, err := Connect(ctx, Config{URL: func(context.Context) (string, error) { return url, nil }, Slot: "s", Publication: "p"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rels, err := Describe(ctx, conn, []Name{{"public", "Odd Name"}})
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := ReadRows(ctx, conn, rels[0], [][]string{{"1", `a"b\c,{}`}, {"2", ""}, {"3", "NULL"}, {"4", "y"}, {"9", "x"}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, row := range chunk.Rows {
		got[string(row[1].Text)] = string(row[2].Text)
	}
	if diff := cmp.Diff(map[string]string{"1": "one", "2": "two", "3": "three"}, got); diff != "" {
		t.Error(diff)
	}
	if !chunk.Done || chunk.Snapshot.Xmax == 0 {
		t.Errorf("done %v, snapshot %v", chunk.Done, chunk.Snapshot)
	}
	if chunk, err = ReadRows(ctx, conn, rels[0], [][]string{{"1", `a"b\c,{}`}, {"2", ""}}, 1); err != nil || len(chunk.Rows) != 1 || !chunk.Cut {
		t.Errorf("%d rows of at most one byte, cut: %v (%v)", len(chunk.Rows), chunk.Cut, err)
	}
	if _, err := ReadRows(ctx, conn, rels[0], [][]string{{"1"}}, 0); err == nil {
		t.Error("a key with too few columns was taken")
	}
	if _, err := ReadRows(ctx, conn, rels[0], [][]string{{"one", "x"}}, 0); err == nil {
		t.Error("a key of another type was taken")
	}
	if conn.PgConn().TxStatus() != 'I' {
		t.Error("a transaction is left open")
	}
}
