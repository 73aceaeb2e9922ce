package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/semaphore"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/smtpline"
)

// Limits of a message beside Config.MaxSize.
const (
	maxLine   = 998 // RFC 5322, 2.1.1.
	maxHeader = 256 << 10
	// copies is how many times its length a message takes while it is signed,
	// sealed and stored.
	copies = 5
	// storing bounds the time from the last octet to the reply.
	storing = 2 * time.Minute
	// firstPiece is the length of a message's first buffer, octets.
	firstPiece = 16 << 10
)

// An intake takes in messages while a server runs.
type intake struct {
	*Server

	vault  *vault
	dkim   []dkimKey
	tls    *tls.Config
	rate   *smtpline.Meter[string] // Messages of each user.
	memory *semaphore.Weighted
	kick   func()          // Wakes the workers.
	ctx    context.Context // Of messages that were begun; ends after the grace.
}

// newIntake reads certificates and keys.
func (s *Server) newIntake(ctx context.Context, v *vault, dkim []dkimKey, kick func()) (*intake, error) {
	in := &intake{
		Server: s, vault: v, dkim: dkim, kick: kick, ctx: ctx, memory: semaphore.NewWeighted(s.cfg.Memory),
		rate: smtpline.NewMeter[string](smtpline.Rate{Every: time.Minute / time.Duration(s.cfg.MessagesPerMinute), Burst: s.cfg.Burst}),
	}
	cert, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	in.tls = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if s.cfg.ClientCAFile != "" {
		if in.tls.ClientCAs, err = readCA(s.cfg.ClientCAFile); err != nil {
			return nil, err
		}
		in.tls.ClientAuth = tls.VerifyClientCertIfGiven // For client authentication, by the CA alone.
	}
	return in, nil
}

func readCA(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("CA: no certificate in %s", path)
	}
	return pool, nil
}

// receive takes in one message and returns its id in the queue.
func (in *intake) receive(tx transaction, r io.Reader, s *session) (id string, err error) {
	raw, taken, err := in.read(smtpline.NewReader(r, smtpline.Limits{Line: maxLine, Header: maxHeader, Size: in.cfg.MaxSize}))
	defer in.memory.Release(taken)
	if err != nil {
		return "", err
	}
	if chunked(r) && s.conn.cutOff(s.over) {
		return "", errCut
	}
	h, body, err := smtpline.ParseHeader(raw)
	if err != nil {
		return "", err
	}
	author, err := in.authors(tx.user, h, s)
	if err != nil {
		return "", err
	}
	now := time.Now()
	p := parcel{id: newID(), from: tx.from, to: tx.to, utf8: tx.utf8 && needsUTF8(tx, h)}
	text := compose(h, body, p.id, in.cfg.Hostname, author.Domain(), now)
	if p.text, err = sign(in.dkim, author.Domain(), text, now); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(in.ctx, storing)
	defer cancel()
	if err := in.put(ctx, in.vault, p, now); err != nil {
		return "", err
	}
	in.kick()
	in.log.Info("message queued", "id", p.id, "recipients", len(tx.to))
	return p.id, nil
}

// read reads r to its end. taken is what the message may take of memory; it is
// to be given back in any case.
func (in *intake) read(r io.Reader) (raw []byte, taken int64, err error) {
	for {
		if len(raw) == cap(raw) {
			more := int64(max(firstPiece, cap(raw))) // Octets.
			if limit := in.cfg.MaxSize + 1 - int64(cap(raw)); more > limit && limit > 0 {
				more = limit
			}
			if !in.memory.TryAcquire(copies * more) {
				return nil, taken, problem.Unavailable.Errorf("too many messages at once")
			}
			taken += copies * more
			bigger := make([]byte, len(raw), int64(cap(raw))+more)
			copy(bigger, raw)
			raw = bigger
		}
		n, err := r.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		if err == io.EOF {
			return raw, taken, nil
		}
		if err != nil {
			return nil, taken, err
		}
	}
}

// authors returns the address of the author, who must be the user, and so must
// who sent it on the author's behalf (RFC 5322, 3.6.2).
func (in *intake) authors(user string, h smtpline.Header, s *session) (nick.Address, error) {
	from, err := h.Author()
	if err != nil {
		return "", err
	}
	if err := s.owns(user, from); err != nil {
		return "", err
	}
	for _, f := range h {
		if !f.Is("Sender") {
			continue
		}
		address, err := smtpline.OneAddress(f.Value())
		if err != nil {
			return "", err
		}
		if err := s.owns(user, address); err != nil {
			return "", err
		}
	}
	return nick.ParseAddress(from)
}

// needsUTF8 reports whether the message cannot pass a server without SMTPUTF8.
func needsUTF8(tx transaction, h smtpline.Header) bool {
	for _, m := range tx.to {
		if !ascii(m.path) {
			return true
		}
	}
	for _, f := range h {
		if !ascii(string(f.Raw)) {
			return true
		}
	}
	return false
}

// refused logs an error and returns the reply to it.
func (in *intake) refused(what string, err error) error {
	r := reply(err)
	in.log.Debug("refused", "what", what, "code", r.Code, "err", err)
	if _, decided := errors.AsType[*refusal](err); !decided && r.Code/100 == 4 {
		in.log.Error("cannot take mail now", "what", what, "kind", problem.KindOf(err))
	} else {
		in.log.Info("refused", "what", what, "code", r.Code, "enhanced", r.EnhancedCode)
	}
	return r
}
