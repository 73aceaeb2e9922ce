package smtpd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A Relay takes messages for delivery. Submit returns nil when it has taken
// the message for all recipients, durably; a *Partial when for some only; a
// *Reply when it has refused it. Any other error means that nobody knows: the
// message will be handed over again.
type Relay interface {
	Submit(ctx context.Context, from string, to []string, msg []byte) error
}

// A Reply is what a relay said instead of taking a message.
type Reply struct {
	Code int
	Text string
}

// Error returns the reply as the relay wrote it.
func (r *Reply) Error() string { return fmt.Sprintf("%d %s", r.Code, r.Text) }

// Permanent reports whether it makes no sense to try again (RFC 5321, 4.2.1).
// What the relay says of our certificate or login (RFC 4954, 6) can change, and
// is no reason to give a message up.
func (r *Reply) Permanent() bool {
	return r.Code/100 == 5 && !r.login()
}

// login reports whether it is about who we are.
func (r *Reply) login() bool {
	return r.Code == 530 || r.Code == 534 || r.Code == 535 || r.Code == 538
}

// Partial means that a message was taken for the other recipients.
type Partial struct {
	Refused map[string]error // By recipient: a *Reply.
}

// Error says for how many it was not.
func (p *Partial) Error() string {
	return fmt.Sprintf("the relay refused %d recipients", len(p.Refused))
}

// SMTPRelay is the provider's relay: submission over TLS (RFC 8314, 3.3),
// authenticated by a short-lived client certificate.
type SMTPRelay struct {
	Addr        string         // host:port; the host is the name in the relay's certificate.
	Roots       *x509.CertPool // The provider's CA.
	Certificate func(ctx context.Context) (*tls.Certificate, error)
	// Refused is called when the relay does not accept the certificate: it may
	// have been revoked, and Certificate should return a new one the next time.
	// May be nil.
	Refused func()
	Dialer  *net.Dialer // Asks the resolver that it is told to. Nil: the system's.
}

const (
	dialTimeout    = 30 * time.Second
	commandTimeout = 2 * time.Minute
	dataTimeout    = 10 * time.Minute // RFC 5321, 4.5.3.2.6.
	slowest        = 8 << 10          // Bytes a second at which a message is still waited for.
)

// Submit implements Relay.
func (r *SMTPRelay) Submit(ctx context.Context, from string, to []string, msg []byte) error {
	err := r.submit(ctx, from, to, msg)
	if r.Refused != nil && unwelcome(err) {
		r.Refused()
	}
	return err
}

// unwelcome reports whether err says that the relay does not accept our
// certificate: by a reply, or by a TLS alert.
func unwelcome(err error) bool {
	if p, ok := errors.AsType[*Partial](err); ok {
		for _, err := range p.Refused {
			if unwelcome(err) {
				return true
			}
		}
	}
	if reply, ok := errors.AsType[*Reply](err); ok {
		return reply.login()
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error" // So crypto/tls calls an alert from the other side.
}

func (r *SMTPRelay) submit(ctx context.Context, from string, to []string, msg []byte) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+dataTimeout+time.Duration(len(msg)/slowest)*time.Second)
	defer cancel()
	c, err := r.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // After QUIT, or after an error.
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if c.SupportsAuth(sasl.External) {
		if err := c.Auth(sasl.NewExternalClient("")); err != nil {
			return asReply(err)
		}
	}
	opt := &smtp.MailOptions{Size: int64(len(msg))}
	if ok, _ := c.Extension("8BITMIME"); ok {
		opt.Body = smtp.Body8BitMIME
	}
	if err := c.Mail(from, opt); err != nil {
		return asReply(err)
	}
	refused := map[string]error{}
	for _, a := range to {
		if err := asReply(c.Rcpt(a, nil)); err != nil {
			if _, ok := errors.AsType[*Reply](err); !ok {
				return err
			}
			refused[a] = err
		}
	}
	if len(refused) == len(to) {
		return &Partial{refused}
	}
	w, err := c.Data()
	if err != nil {
		return asReply(err)
	}
	if _, err := w.Write(msg); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return asReply(err)
	}
	c.Quit() // The message is taken; how the relay says good-bye does not matter.
	if len(refused) > 0 {
		return &Partial{refused}
	}
	return nil
}

func (r *SMTPRelay) dial(ctx context.Context) (*smtp.Client, error) {
	cert, err := r.Certificate(ctx)
	if err != nil {
		return nil, fmt.Errorf("getting a certificate: %w", err)
	}
	host, _, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return nil, fmt.Errorf("relay %s: %w", r.Addr, err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := tls.Dialer{NetDialer: r.Dialer, Config: &tls.Config{ServerName: host, RootCAs: r.Roots, Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}}
	conn, err := d.DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return nil, fmt.Errorf("dialing the relay: %w", err)
	}
	c := smtp.NewClient(conn)
	c.CommandTimeout, c.SubmissionTimeout = commandTimeout, dataTimeout
	if err := c.Hello("localhost"); err != nil { // The name of the machine is nobody's business.
		return nil, errors.Join(asReply(err), c.Close())
	}
	return c, nil
}

// asReply turns the library's error for a reply into ours.
func asReply(err error) error {
	if e, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return &Reply{e.Code, e.Message}
	}
	return err
}
