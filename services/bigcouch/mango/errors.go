package mango

import "fmt"

// An Error is a request that CouchDB would refuse, in its words.
type Error struct {
	Status int    // Of HTTP.
	Word   string // Member "error" of the answer, such as invalid_operator.
	Reason string // Member "reason".
}

// Error returns both.
func (e *Error) Error() string { return e.Word + ": " + e.Reason }

func refuse(word, format string, args ...any) error {
	return &Error{400, word, fmt.Sprintf(format, args...)}
}

func badArg(op string, arg any) error {
	return refuse("bad_arg", "Bad argument for operator %s: %.200s", op, brief(arg))
}
