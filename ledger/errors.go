package ledger

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrFenced says that another instance has taken over since Begin. What the
// call should have written is not written; this instance must stop at once.
var ErrFenced = errors.New("another instance has taken over the state")

// Error is a set-up that does not fit the state: nothing that another try would
// mend.
type Error struct {
	Lines []string
	// Gap is set where the state is this set-up's, and the server's log cannot be
	// read on from it.
	Gap bool
}

// Error joins the lines.
func (e *Error) Error() string { return strings.Join(e.Lines, "; ") }

// Problems returns one line per problem, each with its mend.
func (e *Error) Problems() []string { return e.Lines }

func refuse(format string, args ...any) *Error {
	return &Error{Lines: []string{fmt.Sprintf(format, args...)}}
}

// Transient reports whether the error of any call may go away by itself: the
// connection was lost or refused, the server restarts, fails over or is short
// of something, or the call took too long.
func Transient(err error) bool {
	var refusal *Error
	var pg *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, ErrFenced), errors.As(err, &refusal):
		return false
	case !errors.As(err, &pg):
		return true // no answer from a server at all
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "08", // connection exceptions
		"40", // rolled back: deadlock, serialization
		"53", // out of connections, memory, disk
		"57", // shutdown, crash, cannot connect now, cancelled
		"58", // I/O errors
		"25": // read only, as in the middle of a failover
		return true
	}
	return pg.Code == "55P03" || pg.Code == "55006" // not available now
}

// explain words an error of the state database, naming what to do where that
// is known.
func explain(doing string, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "3F000", "42P01", "42703": // schema, table, column missing
			return refuse("the state schema is missing or of an older version (%s); run `pgcrm migrate`", pg.Message)
		case "42501":
			return refuse("the role may not use the state schema (%s); run what `pgcrm migrate --sql` prints, grants included", pg.Message)
		case "22P05", "22021":
			return refuse("the state database cannot hold a text of the source (%s); name a UTF8 database in PGCRM_STATE_DATABASE_URL", pg.Message)
		case "22012": // the fence divides by the number of rows that are ours
			return ErrFenced
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
