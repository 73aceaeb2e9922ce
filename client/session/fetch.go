package session

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"time"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
)

const (
	timeout  = 30 * time.Second // Of one exchange.
	maxReply = 1 << 20          // Bytes.
)

// A call is one request of the account API.
type call struct {
	method, url string
	token       string // Empty: none is sent.
	form        []byte // Nil: no body.
	cookies     []*http.Cookie
	header      map[string]string
}

// A reply is an answer whose body was read.
type reply struct {
	status  int
	header  http.Header
	body    []byte
	cookies []*http.Cookie
}

// do makes one exchange. An answer of status 400 and above is the error that
// its body carries; a provider that cannot be reached is Unavailable; one that
// shows another certificate than it must is Permission.
func do(ctx context.Context, hc *http.Client, c call) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, bytes.NewReader(c.form))
	if err != nil {
		return reply{}, problem.Invalid.Errorf("malformed address %q", c.url)
	}
	if c.form != nil {
		req.Header.Set("Content-Type", bonafide.FormType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", bonafide.TokenHeader(c.token))
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	for _, cookie := range c.cookies {
		req.AddCookie(cookie)
	}
	resp, err := hc.Do(req)
	if err != nil {
		return reply{}, transportError(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return reply{}, transportError(err)
	}
	if len(body) > maxReply {
		return reply{}, problem.Invalid.Errorf("the answer has more than %d bytes", maxReply)
	}
	r := reply{resp.StatusCode, resp.Header, body, resp.Cookies()}
	switch {
	case r.status >= 400:
		return r, bonafide.ParseError(r.status, body)
	case r.status >= 300 && r.status != http.StatusNotModified:
		return r, problem.Invalid.Errorf("the provider sends us elsewhere (status %d)", r.status)
	}
	return r, nil
}

func transportError(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok ||
		errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid) {
		return problem.Permission.Errorf("the server is not the provider's: %w", err)
	}
	return problem.Unavailable.Errorf("the provider cannot be reached: %w", err)
}
