package couch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-kivik/kivik/v4"
	"github.com/go-kivik/kivik/v4/couchdb/chttp"

	"leap.example/services/protocol/problem"
)

var (
	errNotUp    = errors.New("the node is not up")
	errRefused  = errors.New("the node refused a part of a bulk request")
	errTooLarge = errors.New("the node takes no document so large")
	// errNoDatabase is Unavailable: the provider's databases are not set up yet.
	errNoDatabase = errors.New("the database is not there")
	// errNotSecured is NotExist: a user's database is made, then opened to those
	// who may use it, and until then it is not there.
	errNotSecured = errors.New("the database is not open to us")
	errMalformed  = errors.New("malformed HTTP response")
)

// failed returns err as an error of a kind. Of the databases that are always
// there it is not the document that is missing when the database is.
func (d database) failed(verb string, err error) error {
	if absent(err) && !strings.HasPrefix(d.name, userDBPrefix) {
		kind := problem.Unavailable.Errorf("%s", publicText(problem.Unavailable, ""))
		return fmt.Errorf("%s %s: %w: %w", verb, d.noun, errNoDatabase, kind)
	}
	if closed(err) && strings.HasPrefix(d.name, userDBPrefix) {
		kind := problem.NotExist.Errorf("%s", publicText(problem.NotExist, d.noun))
		return fmt.Errorf("%s %s: %w: %w", verb, d.noun, errNotSecured, kind)
	}
	return failed(verb+" "+d.noun, d.noun, err)
}

// closed reports whether err says that our account may not use the database.
func closed(err error) bool {
	e, ok := errors.AsType[*chttp.HTTPError](err)
	return ok && e.HTTPStatus() == http.StatusForbidden
}

// absent reports whether err says that there is no such database, in the words
// of all implementations.
func absent(err error) bool {
	e, ok := errors.AsType[*chttp.HTTPError](err)
	return ok && e.HTTPStatus() == http.StatusNotFound && strings.HasPrefix(e.Reason, "Database does not exist")
}

// failed returns err as an error of a kind (database.md section 13), nil for
// nil. what says what was being done, noun what it was done to; the latter a
// remote reader may see. Of a URL in err nothing is kept: it may name a user.
func failed(what, noun string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[problem.Kind](err); ok {
		return err
	}
	kind := kindOf(err)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*chttp.HTTPError](err); ok {
		err = fmt.Errorf("status %d", e.HTTPStatus()) // A reason may name the document.
	} else if strings.Contains(err.Error(), "malformed HTTP") {
		err = errMalformed // It quotes what it could not read.
	}
	if kind == problem.Limit { // The reason names the document.
		err = errTooLarge
	}
	return fmt.Errorf("%s: %w: %w", what, err, kind.Errorf("%s", publicText(kind, noun)))
}

// publicText is what a remote reader is told.
func publicText(k problem.Kind, noun string) string {
	switch k {
	case problem.NotExist:
		return "no such " + noun
	case problem.Exist:
		return noun + " exists"
	case problem.Stale:
		return noun + " was changed meanwhile"
	case problem.Limit:
		return noun + " is too large"
	case problem.Unavailable:
		return "the database is not available"
	}
	return "the database refused the request"
}

func kindOf(err error) problem.Kind {
	if e, ok := errors.AsType[*chttp.HTTPError](err); ok {
		return kindOfStatus(e.HTTPStatus())
	}
	if errors.Is(err, errNotUp) || unclear(err) {
		return problem.Unavailable
	}
	if errors.Is(err, errRefused) {
		return problem.Internal
	}
	return kindOfStatus(kivik.HTTPStatus(err))
}

func kindOfStatus(status int) problem.Kind {
	switch status {
	case http.StatusNotFound:
		return problem.NotExist
	case http.StatusConflict:
		return problem.Stale
	case http.StatusPreconditionFailed:
		return problem.Exist
	case http.StatusRequestEntityTooLarge:
		return problem.Limit
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage:
		return problem.Unavailable
	}
	// 401 and 403 are of our own account: no fault of the remote user.
	return problem.Internal
}

// unclear reports whether err is no answer of a node: it could not be reached,
// or the connection or the time ended before the answer did. A write may have
// happened or not.
func unclear(err error) bool {
	if _, ok := errors.AsType[*chttp.HTTPError](err); ok || errors.Is(err, errRefused) {
		return false
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	// What kivik makes of an answer that ends early or is not JSON.
	status := kivik.HTTPStatus(err)
	return status == http.StatusBadGateway || status == http.StatusInternalServerError
}

// again reports whether the request may succeed when it is repeated soon.
func again(err error) bool {
	if e, ok := errors.AsType[*chttp.HTTPError](err); ok {
		return kindOfStatus(e.HTTPStatus()) == problem.Unavailable && e.HTTPStatus() != http.StatusInsufficientStorage
	}
	return unclear(err)
}

func isStatus(err error, status int) bool {
	return err != nil && kivik.HTTPStatus(err) == status
}
