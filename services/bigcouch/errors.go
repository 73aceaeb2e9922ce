package bigcouch

import (
	"errors"
	"fmt"
	"net/http"

	"leap.example/services/bigcouch/group"
	"leap.example/services/bigcouch/mango"
	"leap.example/services/bigcouch/replicate"
	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
)

// A wireError is an answer other than success: its status and the two members
// of its body.
type wireError struct {
	status       int
	name, reason string
}

func (e *wireError) Error() string { return e.name + ": " + e.reason }

func badRequest(format string, args ...any) error {
	return &wireError{http.StatusBadRequest, "bad_request", fmt.Sprintf(format, args...)}
}

func queryError(format string, args ...any) error {
	return &wireError{http.StatusBadRequest, "query_parse_error", fmt.Sprintf(format, args...)}
}

func unauthorized(reason string) error {
	return &wireError{http.StatusUnauthorized, "unauthorized", reason}
}

func forbidden(reason string) error {
	return &wireError{http.StatusForbidden, "forbidden", reason}
}

func notFound(reason string) error {
	return &wireError{http.StatusNotFound, "not_found", reason}
}

func validation(format string, args ...any) error {
	return &wireError{http.StatusBadRequest, "doc_validation", fmt.Sprintf(format, args...)}
}

func illegalID(reason string) error {
	return &wireError{http.StatusBadRequest, "illegal_docid", reason}
}

func unavailable(format string, args ...any) error {
	return &wireError{http.StatusServiceUnavailable, "service_unavailable", fmt.Sprintf(format, args...)}
}

func tooLarge(reason string) error {
	return &wireError{http.StatusRequestEntityTooLarge, "too_large", reason}
}

var (
	errBadJSON          = &wireError{http.StatusBadRequest, "bad_request", "invalid UTF-8 JSON"}
	errNotObject        = &wireError{http.StatusBadRequest, "bad_request", "Request body must be a JSON object"}
	errContentType      = &wireError{http.StatusUnsupportedMediaType, "bad_content_type", "Content-Type must be application/json"}
	errBadEncoding      = &wireError{http.StatusUnsupportedMediaType, "bad_ctype", "Content-Encoding is neither gzip nor identity"}
	errRange            = &wireError{http.StatusRequestedRangeNotSatisfiable, "requested_range_not_satisfiable", "Requested range not satisfiable"}
	errNoAttachment     = &wireError{http.StatusNotFound, "not_found", "Document is missing attachment"}
	errLocalAttachments = badRequest("Local documents have no attachments")
	errNoHandler        = &wireError{http.StatusNotFound, "not_found", "missing handler"}
	errUnavailable      = &wireError{http.StatusServiceUnavailable, "service_unavailable", "The node is stopping"}
	errFull             = &wireError{http.StatusInsufficientStorage, "insufficient_storage", "The disk of this node is full"}
)

// refusalStatus are the statuses of what the store refuses.
var refusalStatus = map[string]int{
	"conflict":     http.StatusConflict,
	"not_found":    http.StatusNotFound,
	"missing_stub": http.StatusPreconditionFailed,
	"file_exists":  http.StatusPreconditionFailed,

	"service_unavailable": http.StatusServiceUnavailable,
	// Of design documents, see validate.go.
	"forbidden":          http.StatusForbidden,
	"unauthorized":       http.StatusUnauthorized,
	"compilation_error":  http.StatusBadRequest,
	"invalid_design_doc": http.StatusBadRequest,
	"unnamed_error":      http.StatusInternalServerError,
}

// asWire returns what the client may see of err, and whether that is all there
// is to say: anything else is an internal error.
func asWire(err error) (*wireError, bool) {
	if e, ok := errors.AsType[*wireError](err); ok {
		return e, true
	}
	if errors.Is(err, shard.ErrNoMajority) || errors.Is(err, shard.ErrBehind) || errors.Is(err, group.ErrOlder) {
		return &wireError{http.StatusServiceUnavailable, "service_unavailable", err.Error()}, true
	}
	if e, ok := errors.AsType[*mango.Error](err); ok {
		return &wireError{e.Status, e.Word, e.Reason}, true
	}
	if e, ok := errors.AsType[*replicate.Error](err); ok {
		return &wireError{replicationStatus(e), e.Name, e.Reason}, true
	}
	if r, ok := errors.AsType[*store.Refusal](err); ok {
		return &wireError{refusalStatus[r.Name], r.Name, r.Reason}, true
	}
	return &wireError{http.StatusInternalServerError, "internal_server_error", "The log of the node has the reason"}, false
}

// replicationStatus is the status of an answer that tells why a replication has
// failed. What a peer has answered is passed on where it concerns the client.
func replicationStatus(e *replicate.Error) int {
	switch e.Status {
	case 0:
		return http.StatusBadRequest
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return e.Status
	}
	return http.StatusInternalServerError
}
