package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	answering = 20 * time.Second // Bounds the questions for one command.
	maxFaults = 3                // Failed logins of one connection.
	trustFor  = time.Minute      // What was found out about an address in this session.
	maxMine   = 64               // Addresses that a session remembers.
)

// A session is what the SMTP library calls for one connection, and again after
// STARTTLS. The library runs Data for BDAT beside the other methods: Data works
// on a copy of the transaction.
type session struct {
	in    *intake
	conn  *conn
	over  *tls.Conn // Nil before STARTTLS.
	who   string    // User id; "": not known.
	fault int

	mu   sync.Mutex // Guards what follows.
	tx   transaction
	mine map[string]time.Time // The user's own addresses, and until when.
}

// A transaction is the envelope of one message.
type transaction struct {
	user, from string
	to         []mailbox
	utf8       bool
}

// NewSession implements smtp.Backend.
func (in *intake) NewSession(c *smtp.Conn) (smtp.Session, error) {
	s := &session{in: in, mine: map[string]time.Time{}}
	low := c.Conn()
	if t, ok := low.(*tls.Conn); ok {
		s.over, low = t, t.NetConn()
	}
	s.conn = low.(*conn) // The gate makes no others.
	return s, nil
}

func (s *session) ask() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.in.ctx, answering)
}

// AuthMechanisms implements smtp.AuthSession. The library asks only in TLS.
func (s *session) AuthMechanisms() []string {
	if s.over != nil && len(s.over.ConnectionState().PeerCertificates) > 0 {
		return []string{sasl.External, sasl.Plain}
	}
	return []string{sasl.Plain}
}

// Auth implements smtp.AuthSession.
func (s *session) Auth(mech string) (sasl.Server, error) {
	switch mech {
	case sasl.Plain: // RFC 4616.
		return sasl.NewPlainServer(func(as, name, password string) error {
			if as != "" && as != name {
				return s.login("", errLogin)
			}
			ctx, cancel := s.ask()
			defer cancel()
			return s.login(s.in.desk.byToken(ctx, name, password))
		}), nil
	case sasl.External: // RFC 4422, A.
		return sasl.NewExternalServer(func(as string) error {
			user, err := s.certified()
			if err == nil && as != "" {
				ctx, cancel := s.ask()
				defer cancel()
				if s.in.desk.owns(ctx, user, as) != nil {
					err = errLogin
				}
			}
			return s.login(user, err)
		}), nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// certified returns the user of the client certificate.
func (s *session) certified() (string, error) {
	if s.over == nil {
		return "", errWho
	}
	list := s.over.ConnectionState().PeerCertificates
	if len(list) == 0 {
		return "", errWho
	}
	ctx, cancel := s.ask()
	defer cancel()
	return s.in.desk.byCertificate(ctx, list[0], time.Now())
}

// login notes who the client is, or counts a failure.
func (s *session) login(user string, err error) error {
	now := time.Now()
	if s.conn.gate.failures.Spent(s.conn.network, now) {
		s.conn.gate.end(s.conn)
		return s.in.refused("login", errLogins)
	}
	if errors.Is(err, errLogin) {
		s.conn.gate.failures.Take(s.conn.network, now)
		if s.fault++; s.fault >= maxFaults {
			s.conn.gate.end(s.conn)
		}
	}
	if err != nil {
		return s.in.refused("login", err)
	}
	s.who = user
	return nil
}

// Mail implements smtp.Session.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	if s.who == "" {
		if err := s.login(s.certified()); err != nil {
			return err
		}
	}
	if err := s.owns(s.who, from); err != nil {
		return s.in.refused("sender", err)
	}
	if !s.in.rate.Take(s.who, time.Now()) {
		return s.in.refused("sender", errRate)
	}
	if !s.conn.gate.begin(s.conn) {
		return reply(errStopping)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tx = transaction{user: s.who, from: from, utf8: opts.UTF8}
	return nil
}

// owns is desk.owns with a memory.
func (s *session) owns(user, address string) error {
	now := time.Now()
	s.mu.Lock()
	known := now.Before(s.mine[address])
	s.mu.Unlock()
	if known {
		return nil
	}
	ctx, cancel := s.ask()
	defer cancel()
	if err := s.in.desk.owns(ctx, user, address); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mine) >= maxMine {
		clear(s.mine) // One mailbox has any number of addresses.
	}
	s.mine[address] = now.Add(trustFor)
	return nil
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	m, err := parseMailbox(to)
	if err != nil {
		return s.in.refused("recipient", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tx.to = append(slices.Clone(s.tx.to), m)
	return nil
}

// Data implements smtp.Session.
func (s *session) Data(r io.Reader) error {
	s.mu.Lock()
	tx := s.tx
	s.mu.Unlock()
	if !s.conn.gate.take() {
		return reply(errStopping)
	}
	defer s.conn.gate.messages.Done()
	id, err := s.in.receive(tx, r, s)
	if err != nil {
		return s.in.refused("message", err)
	}
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Queued as " + id}
}

// chunked reports whether the library reads the message as BDAT chunks.
func chunked(r io.Reader) bool {
	_, ok := r.(*io.PipeReader)
	return ok
}

// Reset implements smtp.Session. The library calls it after each transaction,
// when the reply is written.
func (s *session) Reset() {
	s.conn.gate.rest(s.conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tx = transaction{}
}

// Logout implements smtp.Session.
func (s *session) Logout() error {
	s.conn.gate.rest(s.conn)
	return nil
}

// ascii reports whether s has nothing beyond ASCII.
func ascii(s string) bool { return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e }) }
