package u1db

import (
	"encoding/json"
	"errors"

	"leap.example/services/protocol/problem"
)

// A WordError is one of the refusals that U1DB knows by words
// (leap-protocols.md 7.6). It is also an error of a problem.Kind for
// errors.Is.
type WordError struct {
	Words  string // The value of "error" in the reply.
	Status int    // HTTP status.
	kind   problem.Kind
}

// Error returns the words.
func (e *WordError) Error() string { return e.Words }

// Unwrap returns the problem.Kind.
func (e *WordError) Unwrap() error { return e.kind }

// Body returns the reply's JSON body.
func (e *WordError) Body() []byte {
	b, _ := json.Marshal(wordBody{e.Words}) // A string always marshals.
	return b
}

type wordBody struct {
	Error string `json:"error"`
}

// The words of leap-protocols.md 7.6.
var (
	ErrInvalidDocID     = &WordError{"invalid document id", 400, problem.Invalid}
	ErrMissingDocIDs    = &WordError{"missing document ids", 400, problem.Invalid}
	ErrBadRequest       = &WordError{"bad request", 400, problem.Invalid}
	ErrUnauthorized     = &WordError{"unauthorized", 401, problem.Unauthenticated}
	ErrDocumentTooBig   = &WordError{"document too big", 403, problem.Limit}
	ErrQuota            = &WordError{"user quota exceeded", 403, problem.Limit}
	ErrSubscription     = &WordError{"user needs subscription", 403, problem.Permission}
	ErrNoDatabase       = &WordError{"database does not exist", 404, problem.NotExist}
	ErrNoDocument       = &WordError{"document does not exist", 404, problem.NotExist}
	ErrAlreadyDeleted   = &WordError{"document already deleted", 404, problem.NotExist}
	ErrDeleted          = &WordError{"document deleted", 404, problem.NotExist}
	ErrRevisionConflict = &WordError{"revision conflict", 409, problem.Stale}
	ErrGeneration       = &WordError{"invalid generation", 409, problem.Stale}
	ErrReplica          = &WordError{"invalid replica uid", 409, problem.Stale}
	ErrTransaction      = &WordError{"invalid transaction id", 409, problem.Stale}
	ErrUnavailable      = &WordError{"unavailable", 503, problem.Unavailable}
)

var words = []*WordError{
	ErrInvalidDocID, ErrMissingDocIDs, ErrBadRequest, ErrUnauthorized, ErrDocumentTooBig,
	ErrQuota, ErrSubscription, ErrNoDatabase, ErrNoDocument, ErrAlreadyDeleted, ErrDeleted,
	ErrRevisionConflict, ErrGeneration, ErrReplica, ErrTransaction, ErrUnavailable,
}

// ErrorOf returns the error that a reply with the given status and body
// carries: one of the words above, or what problem.Parse makes of it. It is
// never nil.
func ErrorOf(status int, body []byte) error {
	if status == 507 { // leap-protocols.md 7.10: of blobs, with a text of its own.
		return ErrQuota
	}
	var b wordBody
	if json.Unmarshal(body, &b) == nil {
		if e := wordOf(b.Error); e != nil {
			return e
		}
	}
	return problem.Parse(status, body)
}

func wordOf(text string) *WordError {
	for _, e := range words {
		if e.Words == text {
			return e
		}
	}
	return nil
}

// WordsOf returns the words with which a server answers err: the WordError in
// err's tree, or the nearest one to its problem.Kind; ErrUnavailable for a
// kind that has no words, so that a client tries again.
func WordsOf(err error) *WordError {
	if e, ok := errors.AsType[*WordError](err); ok {
		return e
	}
	switch problem.KindOf(err) {
	case problem.NotExist:
		return ErrNoDocument
	case problem.Invalid:
		return ErrBadRequest
	case problem.Unauthenticated:
		return ErrUnauthorized
	case problem.Permission:
		return ErrSubscription
	case problem.Stale, problem.Exist:
		return ErrRevisionConflict
	case problem.Limit:
		return ErrQuota
	}
	return ErrUnavailable
}
