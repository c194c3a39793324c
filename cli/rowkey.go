package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcrm/pgcrm/cdc"
	"github.com/pgcrm/pgcrm/change"
)

// rowKey is a row's primary key, column by column, as text.
type rowKey []string

// String writes the key as patches, letters and requests do: the text itself, or
// for several columns a JSON array of texts.
func (k rowKey) String() string {
	if len(k) == 1 {
		return k[0]
	}
	var b strings.Builder
	b.WriteByte('[')
	for i, text := range k {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		for _, c := range []byte(text) {
			switch {
			case c == '"' || c == '\\':
				b.WriteByte('\\')
				b.WriteByte(c)
			case c < 0x20:
				fmt.Fprintf(&b, `\u%04x`, c)
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('"')
	}
	b.WriteByte(']')
	return b.String()
}

// keyColumns names the columns of the primary key, for people.
func keyColumns(rel *change.Relation) string {
	names := make([]string, len(rel.PrimaryKey))
	for i, k := range rel.PrimaryKey {
		names[i] = rel.Columns[k].Name
	}
	return strings.Join(names, ", ")
}

// parseKeys reads keys as people give them: separated by commas, in double
// quotes where they hold one; of several columns as JSON arrays, ["a",1],["b",2].
func parseKeys(rel *change.Relation, texts []string) ([]rowKey, error) {
	var keys []rowKey
	known := map[string]bool{}
	add := func(k rowKey) {
		if !known[k.String()] {
			known[k.String()] = true
			keys = append(keys, k)
		}
	}
	for _, text := range texts {
		if len(rel.PrimaryKey) > 1 {
			list, err := compositeKeys(rel, text)
			if err != nil {
				return nil, err
			}
			for _, k := range list {
				add(k)
			}
			continue
		}
		fields, err := csv.NewReader(strings.NewReader(text)).Read()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, &usageError{fmt.Sprintf("keys %q: %v; separate them by commas, and put one that holds a comma in double quotes", text, err)}
		}
		for _, f := range fields {
			if f = strings.TrimSpace(f); f != "" {
				add(rowKey{f})
			}
		}
	}
	return keys, nil
}

func compositeKeys(rel *change.Relation, text string) ([]rowKey, error) {
	bad := &usageError{fmt.Sprintf("%q is no key of %s, which has the columns %s; write it as a JSON array, %s",
		text, rel, keyColumns(rel), exampleKey(rel))}
	dec := json.NewDecoder(strings.NewReader("[" + text + "]"))
	dec.UseNumber()
	var list [][]any
	if err := dec.Decode(&list); err != nil {
		return nil, bad
	}
	keys := make([]rowKey, len(list))
	for i, values := range list {
		if len(values) != len(rel.PrimaryKey) {
			return nil, bad
		}
		for _, v := range values {
			switch v := v.(type) {
			case string:
				keys[i] = append(keys[i], v)
			case json.Number:
				keys[i] = append(keys[i], v.String())
			default:
				return nil, bad
			}
		}
	}
	return keys, nil
}

func exampleKey(rel *change.Relation) string {
	values := make([]string, len(rel.PrimaryKey))
	for i, k := range rel.PrimaryKey {
		values[i] = `"` + strings.ToUpper(rel.Columns[k].Name) + `"`
	}
	return "'[" + strings.Join(values, ",") + "]'"
}

// readByKey reads the rows with these keys. Those that are not there are left
// out.
func readByKey(ctx context.Context, conn *pgx.Conn, rel *change.Relation, keys []rowKey) (cdc.Chunk, error) {
	list := make([][]string, len(keys))
	for i, k := range keys {
		list[i] = k
	}
	chunk, err := cdc.ReadRows(ctx, conn, rel, list, 0)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && strings.HasPrefix(pg.Code, "22") {
		return chunk, &usageError{fmt.Sprintf("no such key of %s: %s; its primary key is %s", rel, pg.Message, keyColumns(rel))}
	}
	return chunk, err
}

// keyOfRow is the primary key of a row that was read.
func keyOfRow(rel *change.Relation, row []change.Value) rowKey {
	key := make(rowKey, len(rel.PrimaryKey))
	for i, k := range rel.PrimaryKey {
		key[i] = string(row[k].Text)
	}
	return key
}

// eachChunk reads a range to its end, chunk by chunk.
func eachChunk(ctx context.Context, conn *pgx.Conn, rel *change.Relation, r cdc.Range, visit func(cdc.Chunk) error) error {
	for {
		chunk, err := cdc.ReadChunk(ctx, conn, rel, r)
		if err != nil {
			return err
		}
		if err := visit(chunk); err != nil {
			return err
		}
		if chunk.Done {
			return nil
		}
		r.After = chunk.Last
	}
}
