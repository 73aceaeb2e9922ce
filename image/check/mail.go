package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"

	"leap.example/appliance/node"
	"leap.example/image/compile"
)

// greeting is the name by which the checks say hello to mail servers.
const greeting = "leap-test.invalid"

// mx talks to the mail server as those of other providers do, up to a recipient
// who is not there.
func (c *checker) mx(ctx context.Context) {
	client, ok := c.startTLS(ctx, "mx", "mx", compile.PortMX)
	if !ok {
		return
	}
	defer func() { _ = client.Close() }() // What mattered was said.
	err := client.Mail("")
	if err == nil {
		err = client.Rcpt(nobody + "@" + c.domain())
		refused, told := errors.AsType[*textproto.Error](err)
		switch {
		case err == nil:
			err = errors.New("it takes mail for somebody who is not there")
		case told && refused.Code == 550:
			err = nil
		default:
			err = fmt.Errorf("for somebody who is not there it answers %w instead of 550", err)
		}
	}
	if err == nil {
		if err = client.Rcpt(nobody + "@elsewhere.invalid"); err == nil {
			err = errors.New("it takes mail for other providers: an open relay")
		} else if _, told := errors.AsType[*textproto.Error](err); told {
			err = nil
		}
	}
	c.judge("mx.recipients", err, "it refuses who is not there, and other providers' mail", c.logs("mx"))
}

// relay talks to where users hand in their mail.
func (c *checker) relay(ctx context.Context) {
	if client, ok := c.startTLS(ctx, "relay", "relay", compile.PortSubmission); ok {
		err := client.Mail(nobody + "@" + c.domain())
		if err == nil {
			if err = client.Rcpt(nobody + "@elsewhere.invalid"); err == nil {
				err = errors.New("it takes mail from anybody: an open relay")
			}
		}
		if _, told := errors.AsType[*textproto.Error](err); told {
			err = nil
		}
		c.judge("relay.login", err, "it takes nothing from those who do not log in", c.logs("relay"))
		_ = client.Close() // What mattered was said.
	}
	conn, err := c.dial(ctx, compile.PortSubmissions, dialFor)
	if err == nil {
		var over *tls.Conn
		if over, err = c.secure(ctx, conn); err == nil {
			err = hello(ctx, over, c.Instance.FullName(c.Node))
		}
	}
	c.judge("relay.tls", err, fmt.Sprintf("it answers at port %d too", compile.PortSubmissions), c.logs("relay"))
}

// startTLS meets a mail server, and judges its banner and its certificate.
func (c *checker) startTLS(ctx context.Context, check, service string, port uint16) (*smtp.Client, bool) {
	name := c.Instance.FullName(c.Node)
	client, err := c.mail(ctx, name, port)
	if err != nil {
		c.add(check+".starttls", node.CheckFail, fmt.Sprintf("port %d: %v", port, err), c.logs(service))
		return nil, false
	}
	state, _ := client.TLSConnectionState()
	c.ends(check+".starttls", name, state.VerifiedChains[0][0].NotAfter)
	return client, true
}

func (c *checker) mail(ctx context.Context, name string, port uint16) (*smtp.Client, error) {
	roots, err := c.own()
	if err != nil {
		return nil, err
	}
	conn, err := c.dial(ctx, port, dialFor)
	if err != nil {
		return nil, err
	}
	client, err := greet(ctx, conn, name)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	err = client.StartTLS(&tls.Config{ServerName: name, RootCAs: roots, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

// secure is TLS with the node's mail server.
func (c *checker) secure(ctx context.Context, conn net.Conn) (*tls.Conn, error) {
	roots, err := c.own()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	over, _, err := c.handshake(ctx, conn, c.Instance.FullName(c.Node), roots)
	return over, err
}

// hello has a mail server say hello, and ends.
func hello(ctx context.Context, conn net.Conn, name string) error {
	client, err := greet(ctx, conn, name)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	_ = client.Quit() // What mattered was said.
	return nil
}

// greet exchanges greetings. The connection ends with ctx.
func greet(ctx context.Context, conn net.Conn, name string) (*smtp.Client, error) {
	if end, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(end); err != nil {
			return nil, err
		}
	}
	said := &banner{Conn: conn}
	client, err := smtp.NewClient(said, name)
	if err != nil {
		return nil, fmt.Errorf("its greeting: %w", err)
	}
	if line, _, _ := strings.Cut(said.text, "\r\n"); !strings.HasPrefix(line, "220 "+name+" ") {
		return nil, fmt.Errorf("its greeting is %q, and should begin with 220 %s", line, name)
	}
	return client, client.Hello(greeting)
}

// A banner keeps what a server says first.
type banner struct {
	net.Conn
	text string
}

// Read implements [net.Conn].
func (b *banner) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if !strings.Contains(b.text, "\n") {
		b.text += string(p[:n])
	}
	return n, err
}
