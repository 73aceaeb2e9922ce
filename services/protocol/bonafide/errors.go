package bonafide

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

// Taken is the message of a login name that somebody has.
const Taken = "has already been taken"

// FieldErrors say what is wrong with the members of a request, by member. On
// the wire they are status 422 and {"errors":{…}}. Their kind is Exist when a
// name is taken, else Invalid.
type FieldErrors map[string][]string

// Error lists all messages.
func (e FieldErrors) Error() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(e)) {
		parts = append(parts, name+" "+strings.Join(e[name], ", "))
	}
	return strings.Join(parts, "; ")
}

// Unwrap returns the kind.
func (e FieldErrors) Unwrap() error {
	for _, messages := range e {
		if slices.Contains(messages, Taken) {
			return problem.Exist
		}
	}
	return problem.Invalid
}

func (e FieldErrors) add(name, message string) { e[name] = append(e[name], message) }

func (e FieldErrors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

func (e FieldErrors) login(login string) {
	if err := ValidLogin(login); err != nil {
		e.add("login", err.Error())
	}
}

func (e FieldErrors) email(address string) {
	if len(address) > 254 || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		e.add("contact_email", "is not a mail address")
	}
}

// verifier checks prefix_salt and prefix_verifier.
func (e FieldErrors) verifier(prefix, salt, verifier string, s srp.Suite, k *srp.KDF) {
	if !isHex(salt) || len(salt) > 128 {
		e.add(prefix+"_salt", "must be a hex string")
	}
	if !isHex(verifier) || len(verifier) < 8 || len(verifier) > maxNumber {
		e.add(prefix+"_verifier", "must be a hex string of at least 8 characters")
	}
	switch s {
	case srp.SRP3072:
		if k == nil || k.Validate() != nil {
			e.add("kdf", "is not a valid key derivation")
		}
		if len(salt) != 32 {
			e.add(prefix+"_salt", "must have 16 bytes")
		}
		if len(verifier) != maxNumber {
			e.add(prefix+"_verifier", fmt.Sprintf("must have %d hex digits", maxNumber))
		}
	case srp.LEAP1024:
	default:
		e.add("suite", "is not known")
	}
}

// A LoginError is a refused login: status 422 and {"errors":{field:text}}
// with a plain string. Its kind is Unauthenticated.
type LoginError struct{ Field, Text string }

// WrongPassword is the one answer to a wrong password, an unknown user and a
// disabled one.
func WrongPassword() *LoginError {
	return &LoginError{"base", "Not a valid username/password combination"}
}

// NoHandshake is the answer to client_auth in a session without a handshake.
func NoHandshake() *LoginError {
	return &LoginError{"login", "Could not understand your login attempt. Please first send your login and a SRP ephemeral value A and then send the client_auth in the same session (using cookies)."}
}

func (e *LoginError) Error() string { return e.Text }

// Unwrap returns the kind.
func (e *LoginError) Unwrap() error { return problem.Unauthenticated }

// ErrorBody is the JSON of an error. Either Error and Message are set, or
// Errors: of each member a list of strings or, for logins, one string.
type ErrorBody struct {
	Error   string         `json:"error,omitempty"`
	Message string         `json:"message,omitempty"`
	Errors  map[string]any `json:"errors,omitempty"`
}

// ErrorOf returns the classic answer for err (leap-protocols.md 1.5, house.md
// 6): its kind and the text meant for the remote caller. Of Internal nothing
// is shown.
func ErrorOf(err error) (status int, body ErrorBody) {
	if e, ok := errors.AsType[*LoginError](err); ok {
		return 422, ErrorBody{Errors: map[string]any{e.Field: e.Text}}
	}
	if e, ok := errors.AsType[FieldErrors](err); ok {
		body.Errors = map[string]any{}
		for name, messages := range e {
			body.Errors[name] = messages
		}
		return 422, body
	}
	doc := problem.DocumentOf(err)
	text := func(fallback string) string {
		if doc.Detail != "" {
			return doc.Detail
		}
		return fallback
	}
	switch doc.Type {
	case problem.Unauthenticated:
		return 401, ErrorBody{Error: "not_authorized_login", Message: "Please log in to perform that action."}
	case problem.Permission:
		return 403, ErrorBody{Error: "not_authorized", Message: text("Sorry, but you are not authorized to perform that action.")}
	case problem.NotExist:
		return 404, ErrorBody{Error: "not_found", Message: text("Not found.")}
	case problem.Exist, problem.Invalid, problem.Stale:
		return 422, ErrorBody{Errors: map[string]any{"base": []string{text(string(doc.Type))}}}
	case problem.Limit, problem.Unavailable:
		return doc.Type.Status(), ErrorBody{Error: string(doc.Type), Message: text("Please try again later.")}
	}
	return 500, ErrorBody{Error: "The server failed to process your request. (Internal)"}
}

// ParseError returns the error that an answer carries: a LoginError,
// FieldErrors, or an error with the kind that its body or status names. It
// also reads problem documents (RFC 9457).
func ParseError(status int, body []byte) error {
	var b ErrorBody
	if len(body) > MaxBody || json.Unmarshal(body, &b) != nil {
		return problem.Parse(status, nil)
	}
	if len(b.Errors) == 0 {
		if b.Message == "" {
			return problem.Parse(status, body)
		}
		return problem.KindOf(problem.Parse(status, nil)).Errorf("%s", b.Message)
	}
	errs := FieldErrors{}
	for name, v := range b.Errors {
		switch v := v.(type) {
		case string:
			return &LoginError{name, v}
		case []any:
			for _, m := range v {
				errs.add(name, fmt.Sprint(m))
			}
		}
	}
	if err := errs.orNil(); err != nil {
		return err
	}
	return problem.Parse(status, nil)
}
