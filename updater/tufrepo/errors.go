package tufrepo

import (
	"errors"
	"fmt"
	"strings"
)

// Errors on which callers branch. All are wrapped with what to do next.
var (
	// ErrFormat: a file is of a newer or unknown format, or is damaged.
	ErrFormat = errors.New("not readable")
	// ErrAltered: an event does not hold what it says, or a signature is not over
	// what the event says.
	ErrAltered = errors.New("altered")
	// ErrStale: the event was made for another state of the repository.
	ErrStale = errors.New("stale")
	// ErrExists: there is such a repository, event or file already.
	ErrExists = errors.New("is there already")
	// ErrPolicy: the keys and thresholds would break a rule of Policy.Check.
	ErrPolicy = errors.New("against the rules")
	// ErrNotSigner: the key does not sign any role of the event.
	ErrNotSigner = errors.New("not a signer")
	// ErrKey: a key cannot be opened or used.
	ErrKey = errors.New("key cannot be used")
	// ErrBusy: another process changes the repository.
	ErrBusy = errors.New("busy")
)

// A ThresholdError says that a role has too few signatures.
type ThresholdError struct {
	Role       string
	By         string   // Whose keys count: "root 3", "targets 2".
	Have, Want int      // Numbers of distinct keys.
	Missing    []string // Names of keys that could sign.
}

func (e *ThresholdError) Error() string {
	return fmt.Sprintf("%s has %d of %d signatures that %s demands; still to sign: %s", e.Role, e.Have, e.Want, e.By, strings.Join(e.Missing, ", "))
}

// An ExpiredError says that clients refuse a role since a time.
type ExpiredError struct {
	Role  string
	Since string
}

func (e *ExpiredError) Error() string { return e.Role + " has expired on " + e.Since }

// A DamageError says that a public file is not what the metadata vouch for.
type DamageError struct {
	File, Reason string
}

func (e *DamageError) Error() string { return e.File + ": " + e.Reason }
