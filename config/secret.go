package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a value that does not print. Its method Value is a provider: a
// secret given as NAME_FILE is read again at each call, so that a rotated one is
// taken up by the next connection or request.
type Secret struct {
	name  string
	value string
	file  string
}

// EnvDecode takes the value as it is.
func (s *Secret) EnvDecode(value string) error {
	s.value = value
	return nil
}

// NewSecret returns a secret with a fixed value, for what does not come from
// the environment.
func NewSecret(value string) Secret { return Secret{value: value} }

// IsSet reports whether a value was given.
func (s Secret) IsSet() bool { return s.value != "" }

// Value returns the secret, read again where it came from a file. An error
// names the variable and never the value; the caller may try again later.
func (s Secret) Value(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if s.file == "" {
		return s.value, nil
	}
	value, err := readValue(s.file)
	if err != nil {
		return "", fmt.Errorf("%s: cannot read %s again: %s; restore the file", s.name+fileSuffix, showPath(s.file), cause(err))
	}
	if value == "" {
		return "", errors.New(s.name + fileSuffix + ": " + showPath(s.file) + " is empty now; write the value into it")
	}
	return value, nil
}

// String hides the value; so do the three below, for fmt, slog and encoders.
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return redacted
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return "config.Secret{" + s.String() + "}" }

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from JSON and other encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Format hides the value from every verb, %d and %x of the fields included.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	_, _ = f.Write([]byte(text)) // fmt has no way to tell of a failed write
}
