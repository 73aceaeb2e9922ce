package update

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

var (
	// ErrOther is a program that is another one than its path and its signers
	// say, wrapped. Nothing was changed, and the version counts as bad.
	ErrOther = errors.New("the program is not what was signed: tell its vendor")
	// ErrTry is a program that has run and ended with an error, wrapped. Nothing
	// was changed, and the version counts as bad. It is what Config.Try returns.
	ErrTry = errors.New("the new program does not work here")
	// ErrBad is a release that was given up here before, wrapped.
	ErrBad = errors.New("this version did not work here: wait for a newer one, or try it again with --retry")
	// ErrNotMine is a prefix that belongs to somebody else.
	ErrNotMine = errors.New("the prefix of this leapc belongs to another user, who alone can update it")
	// ErrUndecided is a version on trial whose parts do not run, one of which at least
	// may still come, wrapped with their names.
	ErrUndecided = errors.New("the version that is current is on trial, and what decides it does not run")
	// ErrStopped is what a Part returns that does not run, wrapped.
	ErrStopped = errors.New("it does not run")
	// ErrGone is what a Part returns that does not run and is not waited for, wrapped.
	ErrGone = fmt.Errorf("%w, and nothing starts it", ErrStopped)
	// ErrNoBack is that there is no version to return to.
	ErrNoBack = errors.New("there is no older version here to return to")
)

// A WritableError is a directory in which others could put another program in the place
// of the one that is installed.
type WritableError struct {
	Dir  string
	Mode fs.FileMode
}

// Error says what to do.
func (e *WritableError) Error() string {
	return fmt.Sprintf("others can write in %s (mode %#o), and so put a program of theirs in the place of this one: say \"chmod go-w %s\", or choose another directory",
		e.Dir, e.Mode, e.Dir)
}

// A WaitError is a release whose turn has not come.
type WaitError struct {
	Version string
	Due     time.Time
}

// Error says when it is, and how not to wait.
func (e *WaitError) Error() string {
	return fmt.Sprintf("release %s goes out in waves, and this computer's turn is %s: wait, or take it now with --now",
		e.Version, e.Due.Local().Format(time.DateTime))
}

// A BackError is a version that did not work, after which the one before is back.
type BackError struct {
	Version, From string
	Why           error
	Back          error // What is wrong with the one before; nil: it works.
}

// Error says what did not work, and what runs.
func (e *BackError) Error() string {
	text := fmt.Sprintf("version %s was given up (%v); %s is back, and %s is not tried again", e.Version, e.Why, e.From, e.Version)
	if e.Back != nil {
		text += fmt.Sprintf("; but that does not answer either: %v", e.Back)
	}
	return text
}

// Unwrap returns what went wrong.
func (e *BackError) Unwrap() []error { return []error{e.Why, e.Back} }
