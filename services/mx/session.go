package mx

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// maxRecipients is the least that RFC 5321, 4.5.3.1.8 allows.
const maxRecipients = 100

// answering bounds the questions about one recipient.
const answering = 20 * time.Second

// A session is what the SMTP library calls for one connection, and again
// after STARTTLS. The library runs Data for BDAT beside the other methods:
// Data works on a copy of the transaction.
type session struct {
	in   *intake
	smtp *smtp.Conn
	conn *conn
	over net.Conn // What the library reads from: conn, or TLS over it.

	mu sync.Mutex // Guards what follows.
	tx transaction
}

// A transaction is the envelope of one message.
type transaction struct {
	from string
	helo string
	to   []*recipient
}

// NewSession implements smtp.Backend.
func (in *intake) NewSession(c *smtp.Conn) (smtp.Session, error) {
	s := &session{in: in, smtp: c, over: c.Conn()}
	low := s.over
	if t, ok := low.(*tls.Conn); ok {
		low = t.NetConn()
	}
	s.conn = low.(*conn) // The gate makes no others.
	return s, nil
}

// Mail implements smtp.Session.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if strings.ContainsFunc(from, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(from) > 320 {
		return &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 1, 7}, Message: "Bad sender address"}
	}
	if !s.conn.gate.begin(s.conn) {
		return reply(errStopping)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tx = transaction{from: from, helo: cmp.Or(printable(s.smtp.Hostname()), "unknown")}
	return nil
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	now := time.Now()
	limited := !s.conn.trusted
	if limited && s.conn.gate.unknown.Spent(s.conn.network, now) {
		return s.in.refused("recipient", errHarvest)
	}
	ctx, cancel := context.WithTimeout(s.in.ctx, answering)
	defer cancel()
	users, err := s.in.directory.find(ctx, to, now)
	if err != nil {
		if limited && (errors.Is(err, errUnknown) || errors.Is(err, errForeign)) {
			s.conn.gate.unknown.Take(s.conn.network, now)
		}
		return s.in.refused("recipient", err)
	}
	for _, u := range users {
		if s.in.full(ctx, u.userID, now) {
			return s.in.refused("recipient", errFull)
		}
	}
	return s.add(users)
}

// add adds users to the transaction, each once.
func (s *session) add(users []*recipient) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.tx.to)
	for _, u := range users {
		if !slices.ContainsFunc(all, func(r *recipient) bool { return r.userID == u.userID }) {
			all = append(all, u)
		}
	}
	if len(all) > maxRecipients+maxAliases {
		return reply(errMany)
	}
	s.tx.to = all
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
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Taken as " + id}
}

// chunked reports whether the library reads the message as BDAT chunks.
func chunked(r io.Reader) bool {
	_, ok := r.(*io.PipeReader)
	return ok
}

// security names version and cipher of TLS; "" is clear text.
func (s *session) security() string {
	t, ok := s.over.(*tls.Conn)
	if !ok {
		return ""
	}
	state := t.ConnectionState()
	return strings.ReplaceAll(tls.VersionName(state.Version), " ", "") + " " + tls.CipherSuiteName(state.CipherSuite)
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
