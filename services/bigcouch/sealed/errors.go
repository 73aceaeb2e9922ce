package sealed

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// ErrKey means that a key file is missing or malformed, or that a file is
// sealed under a key that no key file holds.
var ErrKey = errors.New("no key for the store")

// ErrPlain means that a file lies there in the clear although keys are given.
var ErrPlain = errors.New("the store is not sealed")

// ErrDamaged means that the header of a file is damaged. Pebble takes it for
// what it is: errors of this kind are corruption to it.
var ErrDamaged = fmt.Errorf("damaged header: %w", pebble.ErrCorruption)

// errAppendOnly refuses to write a place of a file a second time.
var errAppendOnly = errors.New("sealed files are only appended to")
