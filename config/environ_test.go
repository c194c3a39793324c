package config

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFileForm(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct{ name, content, want string }{
		{"no newline", "pat-1", "pat-1"},
		{"one newline cut", "pat-1\n", "pat-1"},
		{"one CRLF cut", "pat-1\r\n", "pat-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := mustLoad(t, "HUBSPOT_ACCESS_TOKEN_FILE="+write(t, "token", tt.content))
			if got, err := cfg.CRM.Token.Value(t.Context()); got != tt.want || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if got, err := readValue(write(t, "two", "a\n\n")); got != "a\n" || err != nil {
		t.Errorf("only one newline is cut: %q, %v", got, err)
	}
	cfg := mustLoad(t, "PGCRM_BATCH_SIZE_FILE="+write(t, "size", "20\n"))
	if cfg.Delivery.BatchSize != 20 {
		t.Errorf("batch size %d", cfg.Delivery.BatchSize)
	}
}

func TestFileProblems(t *testing.T) {
	t.Chdir(t.TempDir())
	file := write(t, "value", "50")
	big := write(t, "big", strings.Repeat("1", maxFileBytes+1))
	for _, tt := range []struct {
		name  string
		pairs []string
		want  string
	}{
		{"both", []string{"PGCRM_BATCH_SIZE=50", "PGCRM_BATCH_SIZE_FILE=" + file}, "PGCRM_BATCH_SIZE: is set together with PGCRM_BATCH_SIZE_FILE; unset one of the two"},
		{"both of a mapping", []string{"PGCRM_MAPPING=version: 1", "PGCRM_MAPPING_FILE=" + file}, "PGCRM_MAPPING: is set together with PGCRM_MAPPING_FILE; unset one of the two"},
		{"missing", []string{"PGCRM_BATCH_SIZE_FILE=/none"}, "PGCRM_BATCH_SIZE_FILE: cannot read /none: no such file or directory; name a readable file that holds the value"},
		{"a folder", []string{"PGCRM_BATCH_SIZE_FILE=" + t.TempDir()}, "is a directory"},
		{"too large", []string{"PGCRM_BATCH_SIZE_FILE=" + big}, "more than 4 MiB"},
		{"bad content", []string{"PGCRM_MAX_IN_FLIGHT_FILE=" + write(t, "bad", "x")}, "PGCRM_MAX_IN_FLIGHT_FILE: the value in the file is not a whole number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Load(tt.pairs, NeedMapping)
			got := problemsOf(t, err)
			if !strings.Contains(strings.Join(got, "\n"), tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEmptyFileCountsAsNotSet(t *testing.T) {
	t.Chdir(t.TempDir())
	cfg, warnings, err := Load([]string{"PGCRM_BATCH_SIZE_FILE=" + write(t, "empty", "\n")})
	if err != nil || cfg.Delivery.BatchSize != 100 || len(warnings) != 1 {
		t.Errorf("got %v, %q, %v", cfg, warnings, err)
	}
}

func TestFirstPairCounts(t *testing.T) {
	t.Chdir(t.TempDir())
	cfg := mustLoad(t, "PGCRM_BATCH_SIZE=1", "PGCRM_BATCH_SIZE=2", "no equals sign")
	if cfg.Delivery.BatchSize != 1 {
		t.Errorf("batch size %d", cfg.Delivery.BatchSize)
	}
}

func TestSecretIsReadAgain(t *testing.T) {
	t.Chdir(t.TempDir())
	path := write(t, "url", dbURL+"\n")
	cfg := mustLoad(t, "PGCRM_DATABASE_URL_FILE="+path)
	rotated := "postgres://app:new@db:5432/app"
	if err := os.WriteFile(path, []byte(rotated+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Secret{cfg.Source.URL, cfg.Source.StateURL} {
		if got, err := s.Value(t.Context()); got != rotated || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.Source.URL.Value(t.Context()); err == nil || !strings.Contains(err.Error(), "PGCRM_DATABASE_URL_FILE") {
		t.Errorf("emptied file: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.Source.URL.Value(t.Context()); err == nil || !strings.Contains(err.Error(), "restore the file") {
		t.Errorf("removed file: %v", err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cfg.Source.URL.Value(done); err == nil {
		t.Error("a cancelled context gave a value")
	}
}

func TestSecretDoesNotPrint(t *testing.T) {
	s := NewSecret("hunter2")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "pointer", &s, "group", CRM{Token: s})
	encoded, err := json.Marshal(CRM{Token: s})
	if err != nil {
		t.Fatal(err)
	}
	printed := log.String() + string(encoded)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		printed += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, &s) + fmt.Sprintf(verb, &Config{CRM: CRM{Token: s}})
	}
	if strings.Contains(printed, "hunter2") || strings.Contains(printed, fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("printed: %s", printed)
	}
	if !strings.Contains(printed, redacted) {
		t.Error("nothing says that a secret is there")
	}
}

func TestMappingFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	const text = "version: 1\ntables: {}\n"
	if err := os.WriteFile("pgcrm.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("other.yaml", []byte("version: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		pairs []string
		want  Document
	}{
		{"default file", nil, Document{"pgcrm.yaml", "pgcrm.yaml", text}},
		{"named file", []string{"PGCRM_MAPPING_FILE=other.yaml"}, Document{"other.yaml", "other.yaml", "version: 1"}},
		{"inline", []string{"PGCRM_MAPPING=version: 1"}, Document{"PGCRM_MAPPING", "", "version: 1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, _, err := Load(tt.pairs, NeedMapping)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, cfg.Mapping.Document); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := (Document{Path: filepath.Join(dir, "m.yaml")}).Dir(); got != dir {
		t.Errorf("Dir is %s", got)
	}
}

// FuzzValues looks for panics and for messages that hold the value.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{"64MiB", "50/10s", "80%", "30d", "127.0.0.1:9847", "http://localhost", "info", "/", "0/0", "9223372036854775807d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, d := range []interface{ EnvDecode(string) error }{
			new(Bytes), new(Rate), new(Share), new(Duration), new(LogLevel), new(Listen), new(BaseURL), new(Document),
		} {
			_ = d.EnvDecode(value)
			switch got := d.(type) {
			case *Bytes:
				if *got < 0 {
					t.Errorf("%q gives %d bytes", value, *got)
				}
			case *Share:
				if *got < 0 || *got > 1 {
					t.Errorf("%q gives a share of %v", value, *got)
				}
			}
		}
	})
}
