package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	dialing   = 30 * time.Second // For one address.
	listening = 10 * time.Minute // For one reply; that to the message takes longest, RFC 5321, 4.5.3.2.6.
	maxSaid   = 1 << 20          // Octets that a server may say in one session.
)

var (
	errNoTLS   = errors.New("the server does not offer STARTTLS")
	errRambles = errors.New("the server says too much")
)

// connect returns a client that has said EHLO, in TLS if possible.
func (c *courier) connect(ctx context.Context, p hop) (client *smtp.Client, closeClient func(), err error) {
	client, closeClient, err = c.connectOnce(ctx, p, true)
	if _, failed := errors.AsType[*handshakeError](err); failed && !p.must {
		return c.connectOnce(ctx, p, false)
	}
	return client, closeClient, err
}

// A handshakeError says that only TLS went wrong.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

func (c *courier) connectOnce(ctx context.Context, p hop, secure bool) (client *smtp.Client, closeClient func(), err error) {
	d := net.Dialer{Timeout: dialing, Resolver: c.routes.Resolver()}
	nc, err := d.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	closeClient = func() {
		stop()
		nc.Close() // The server has said all that matters.
	}
	l := &line{Conn: nc, left: maxSaid}
	client = smtp.NewClient(l)
	err = client.Hello(c.cfg.Hostname)
	if err == nil {
		offered, _ := client.Extension("STARTTLS")
		switch {
		case offered && secure:
			client, err = c.secure(ctx, l, p.tls)
		case p.must:
			err = errNoTLS
		}
	}
	if err != nil {
		closeClient()
		return nil, nil, err
	}
	return client, closeClient, nil
}

// secure turns to TLS, RFC 3207, and returns a new client. The library can do
// it only after an EHLO with a name that is not ours.
func (c *courier) secure(ctx context.Context, l *line, cfg *tls.Config) (*smtp.Client, error) {
	if _, err := io.WriteString(l, "STARTTLS\r\n"); err != nil {
		return nil, err
	}
	answer, err := readLine(l)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(answer, "220") {
		return nil, &handshakeError{fmt.Errorf("refused: %.60q", answer)}
	}
	t := tls.Client(l, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, &handshakeError{err}
	}
	client := smtp.NewClient(&greeted{Conn: t, greeting: strings.NewReader("220 TLS\r\n")})
	return client, client.Hello(c.cfg.Hostname)
}

// readLine reads the last line of a reply, and not an octet more.
func readLine(r io.Reader) (string, error) {
	var b []byte
	for one := make([]byte, 1); len(b) < 2000; {
		if _, err := io.ReadFull(r, one); err != nil {
			return "", err
		}
		if b = append(b, one[0]); one[0] != '\n' {
			continue
		}
		last := b[bytes.LastIndexByte(b[:len(b)-1], '\n')+1:]
		if len(last) < 4 || last[3] != '-' {
			return string(last), nil
		}
	}
	return "", errRambles
}

// A line is a connection to a server. It sets its own deadlines and bounds what
// the server says.
type line struct {
	net.Conn
	left int
}

// Read implements net.Conn.
func (l *line) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, errRambles
	}
	if err := l.Conn.SetReadDeadline(time.Now().Add(listening)); err != nil {
		return 0, err
	}
	n, err := l.Conn.Read(b)
	l.left -= n
	return n, err
}

// Write implements net.Conn.
func (l *line) Write(b []byte) (int, error) {
	if err := l.Conn.SetWriteDeadline(time.Now().Add(listening)); err != nil {
		return 0, err
	}
	return l.Conn.Write(b)
}

// SetDeadline, SetReadDeadline and SetWriteDeadline implement net.Conn. The
// library takes deadlines away between commands, so they do not apply.
func (*line) SetDeadline(time.Time) error      { return nil }
func (*line) SetReadDeadline(time.Time) error  { return nil }
func (*line) SetWriteDeadline(time.Time) error { return nil }

// greeted is a connection after STARTTLS, as the library wants to see it: with
// the greeting that only the first one has.
type greeted struct {
	net.Conn
	greeting *strings.Reader
}

// Read implements net.Conn.
func (g *greeted) Read(b []byte) (int, error) {
	if g.greeting.Len() > 0 {
		return g.greeting.Read(b)
	}
	return g.Conn.Read(b)
}
