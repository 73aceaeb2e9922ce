// Package problem defines the error vocabulary that crosses the wire between
// LEAP clients and services: a closed set of kinds and the RFC 9457 problem
// document that carries them.
//
// Inside one process errors are ordinary wrapped Go errors. A Kind is attached
// at the point where a caller on another machine must be able to act on it.
package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Kind classifies an error by what the caller can do about it. The text is the
// wire value: never change one, only append.
type Kind string

const (
	NotExist        Kind = "not-exist"       // The named item is not here.
	Exist           Kind = "exist"           // The item is already here.
	Invalid         Kind = "invalid"         // The request can never succeed as sent.
	Unauthenticated Kind = "unauthenticated" // Log in, then try again.
	Permission      Kind = "permission"      // Not allowed for this identity.
	Stale           Kind = "stale"           // The caller's revision is out of date: read, merge, retry.
	Limit           Kind = "limit"           // A quota or a rate is used up.
	Unavailable     Kind = "unavailable"     // Try again later.
	Internal        Kind = "internal"        // Our fault; details stay in the log.
)

var kinds = []Kind{NotExist, Exist, Invalid, Unauthenticated, Permission, Stale, Limit, Unavailable, Internal}

// ContentType is the media type of a Document, RFC 9457, 3.
const ContentType = "application/problem+json"

// Error makes a bare Kind usable as a target of errors.Is.
func (k Kind) Error() string { return string(k) }

// Status returns the HTTP status for k.
func (k Kind) Status() int {
	switch k {
	case NotExist:
		return 404
	case Exist, Stale:
		return 409
	case Invalid:
		return 400
	case Unauthenticated:
		return 401
	case Permission:
		return 403
	case Limit:
		return 429
	case Unavailable:
		return 503
	}
	return 500
}

// Errorf returns an error of kind k. The text is shown to the remote caller;
// so is that of an error wrapped with %w.
func (k Kind) Errorf(format string, args ...any) error {
	return &kindError{k, fmt.Errorf(format, args...)}
}

type kindError struct {
	kind Kind
	err  error
}

func (e *kindError) Error() string   { return e.err.Error() }
func (e *kindError) Unwrap() []error { return []error{e.kind, e.err} }

// KindOf returns the outermost Kind in err's tree, or Internal.
func KindOf(err error) Kind {
	if k, ok := errors.AsType[Kind](err); ok {
		return k
	}
	return Internal
}

// Document is an RFC 9457 problem document.
type Document struct {
	Type   Kind   `json:"type"`
	Detail string `json:"detail,omitempty"`
}

// DocumentOf returns what a remote caller may see of err: its kind and the
// text given to Errorf, without what was wrapped around it on the way up. Of
// an Internal error nothing is shown.
func DocumentOf(err error) Document {
	doc := Document{Type: KindOf(err)}
	if e, ok := errors.AsType[*kindError](err); ok && doc.Type != Internal {
		doc.Detail = e.Error()
	}
	return doc
}

// Parse returns the error that a reply with the given status and body carries:
// the inverse of DocumentOf. A kind that this version does not know, or a body
// that is no document, is judged by its status.
func Parse(status int, body []byte) error {
	var doc Document
	if json.Unmarshal(body, &doc) != nil || !slices.Contains(kinds, doc.Type) {
		doc = Document{Type: kindOfStatus(status)}
	}
	if doc.Detail == "" {
		return fmt.Errorf("status %d: %w", status, doc.Type)
	}
	return doc.Type.Errorf("%s", doc.Detail)
}

func kindOfStatus(status int) Kind {
	for _, k := range kinds {
		if k.Status() == status && k != Exist {
			return k
		}
	}
	switch {
	case status == 502 || status == 504:
		return Unavailable
	case status >= 400 && status < 500:
		return Invalid
	}
	return Internal
}
