package replicate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// An Error is what a peer answered, or what is wrong with a request. Name is a
// word of CouchDB's, Status that of the answer; 0: there was none.
type Error struct {
	Status       int
	Name, Reason string
}

// noName is the Name of an answer that is not one of CouchDB.
const noName = "replication_error"

func (e *Error) Error() string { return e.Name + ": " + e.Reason }

func errorf(name, format string, args ...any) error {
	return &Error{Name: name, Reason: fmt.Sprintf(format, args...)}
}

// status returns the status of an answer that was none of success; 0 if err is
// something else.
func status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

// passes reports whether trying again may help. What is no answer at all is
// trouble of the network.
func passes(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return true
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage:
		return true
	}
	return false
}
