package enroll

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"leap.example/client/vpn/machine"
	"leap.example/services/protocol/problem"
)

// An Error says why there is no lease, and what that means for the next try.
type Error struct {
	Fault machine.Fault
	Text  string // For the user: what is wrong and what to do.
	err   error
}

func (e *Error) Error() string { return e.Text }

// Unwrap returns what happened.
func (e *Error) Unwrap() error { return e.err }

func errClassical() *Error {
	return &Error{machine.Unwilling, "the gateway offers no post-quantum key exchange, so the tunnel could be opened by whoever records it today: " +
		"tell the provider, or accept it with \"leapc vpn up --allow-classical\"", problem.Permission}
}

// remoteAlert is the operation of crypto/tls's errors about alerts.
const remoteAlert = "remote error"

// transportError is an exchange that came to no answer.
func transportError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok ||
		errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid) {
		return &Error{machine.Unreachable, "who answers is not the provider's gateway: a captive portal, or somebody in between", problem.Permission}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == remoteAlert { // An alert: of our certificate, most likely.
		return &Error{machine.Forbidden, "the gateway does not accept the certificate: import one with \"leapc vpn import\"", problem.Permission}
	}
	if errors.Is(err, problem.Permission) { // policy.Path.Dial
		return &Error{machine.Unreachable, "this gateway may not be reached beside the tunnel: \"leapc vpn down\" first, or choose the one in use", problem.Permission}
	}
	return &Error{machine.Unreachable, "the gateway cannot be reached: check the network", problem.Unavailable}
}

// refusal is an answer that is no lease. The texts of the gateway are shown:
// the provider's own server wrote them, and the limit of the answer bounds them.
func refusal(status int, body []byte) *Error {
	err := problem.Parse(status, body)
	switch problem.KindOf(err) {
	case problem.NotExist:
		return &Error{machine.Gone, "the gateway does not know the lease any more", err}
	case problem.Permission, problem.Unauthenticated:
		return &Error{machine.Forbidden, "the gateway refuses the certificate: " + err.Error(), err}
	case problem.Exist, problem.Stale:
		return &Error{machine.Unwilling, "too many computers use this certificate at once: \"leapc vpn down\" on one, or wait until a lease is over", err}
	}
	return &Error{machine.Unwilling, "the gateway gives no lease now: " + err.Error(), err}
}
