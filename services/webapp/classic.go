package webapp

import (
	"context"
	"errors"
	"net/http"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
)

// A bodyError is an error of the classic API that fits none of the kinds: it
// is answered as it stands. A nil body is an empty answer.
type bodyError struct {
	status int
	body   *bonafide.ErrorBody
}

func (e *bodyError) Error() string {
	if e.body == nil {
		return http.StatusText(e.status)
	}
	return e.body.Error
}

var (
	errTooLarge = &bodyError{http.StatusRequestEntityTooLarge, &bonafide.ErrorBody{
		Error: "too_large", Message: "The request is too large.",
	}}
	errTooSlow = &bodyError{http.StatusRequestTimeout, &bonafide.ErrorBody{
		Error: "timeout", Message: "The request took too long.",
	}}
	// errNoOpenVPN is the answer to clients of OpenVPN.
	errNoOpenVPN = &bodyError{http.StatusGone, &bonafide.ErrorBody{
		Error: "openvpn_not_offered", Message: "The gateways of this provider speak WireGuard, and this program speaks OpenVPN. Please use leapc.",
	}}
	// errClosed is the answer to a sign-up where there is none.
	errClosed = &bodyError{http.StatusForbidden, nil}
)

// unprocessable is 422 with {"error":text}.
func unprocessable(text string) error {
	return &bodyError{http.StatusUnprocessableEntity, &bonafide.ErrorBody{Error: text}}
}

// fieldError is 422 with one message about one member.
func fieldError(name, message string) error {
	return bonafide.FieldErrors{name: {message}}
}

// writeError answers with err in the form of the classic API
// (leap-protocols.md 1.5) and logs what is our fault.
func (s *site) writeError(w http.ResponseWriter, r *request, err error) {
	if problem.KindOf(err) == problem.Internal && errors.Is(err, context.DeadlineExceeded) {
		err = problem.Unavailable.Errorf("Please try again later.")
	}
	status, body := 0, bonafide.ErrorBody{}
	if e, ok := errors.AsType[*bodyError](err); ok {
		if status = e.status; e.body == nil {
			w.WriteHeader(status)
			return
		}
		body = *e.body
	} else {
		status, body = bonafide.ErrorOf(err)
	}
	switch {
	case status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
		s.log.WarnContext(r.Context(), "unavailable", "route", r.Pattern, "err", err)
	case status >= 500 && r.Context().Err() == nil:
		s.log.ErrorContext(r.Context(), "request failed", "route", r.Pattern, "err", err)
	}
	writeJSON(w, status, body)
}
