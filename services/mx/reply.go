package mx

import (
	"errors"

	"github.com/emersion/go-smtp"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/smtpline"
)

// A refusal is a decision about mail that has its own reply.
type refusal struct {
	code     int
	enhanced smtp.EnhancedCode
	text     string
}

func (r *refusal) Error() string { return r.text }

// Refusals. Codes are of RFC 5321, 4.2.3 and RFC 3463.
var (
	errUnknown  = &refusal{550, smtp.EnhancedCode{5, 1, 1}, "No such address here"} // Or blocked, or disabled.
	errForeign  = &refusal{550, smtp.EnhancedCode{5, 7, 1}, "Not a domain of ours"}
	errNoKey    = &refusal{451, smtp.EnhancedCode{4, 7, 5}, "The recipient has no usable key now, try again later"}
	errHarvest  = &refusal{451, smtp.EnhancedCode{4, 7, 1}, "Too many unknown addresses, try again later"}
	errMany     = &refusal{452, smtp.EnhancedCode{4, 5, 3}, "Too many recipients"}
	errFull     = &refusal{452, smtp.EnhancedCode{4, 2, 2}, "Mailbox full"}
	errHops     = &refusal{554, smtp.EnhancedCode{5, 4, 6}, "Too many hops, this is a loop"}
	errForged   = &refusal{550, smtp.EnhancedCode{5, 7, 1}, "The author's domain wants this refused (DMARC)"}
	errUnproven = &refusal{451, smtp.EnhancedCode{4, 7, 5}, "The author cannot be verified now, try again later"}
	errTooLarge = &refusal{552, smtp.EnhancedCode{5, 3, 4}, "Message too large"}
	errCut      = &refusal{451, smtp.EnhancedCode{4, 4, 2}, "The message was cut off"}
	errStopping = &refusal{421, smtp.EnhancedCode{4, 3, 2}, "Shutting down"}
)

// reply turns an error into what the peer reads. It is the only place that
// does.
func reply(err error) *smtp.SMTPError {
	switch {
	case errors.Is(err, smtpline.ErrSize):
		err = errTooLarge
	case errors.Is(err, smtp.ErrTooLongLine):
		err = smtpline.ErrLine
	case errors.Is(err, smtp.ErrDataReset):
		err = errCut
	}
	if r, ok := errors.AsType[*refusal](err); ok {
		return &smtp.SMTPError{Code: r.code, EnhancedCode: r.enhanced, Message: r.text}
	}
	if e, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return e // Of the library's own reader.
	}
	e := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 0, 0}, Message: "Refused"}
	switch problem.KindOf(err) {
	case problem.Unavailable, problem.Internal:
		e.Code, e.EnhancedCode, e.Message = 451, smtp.EnhancedCode{4, 3, 0}, "Try again later"
	case problem.Limit:
		e.Code, e.EnhancedCode, e.Message = 452, smtp.EnhancedCode{4, 2, 2}, "Mailbox full"
	case problem.Invalid:
		e.EnhancedCode, e.Message = smtp.EnhancedCode{5, 6, 0}, "Malformed message: "+problem.DocumentOf(err).Detail
	}
	return e
}
