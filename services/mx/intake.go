package mx

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"leap.example/services/mx/sender"
	"leap.example/services/mx/spool"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/smtpline"
)

// delivering bounds the time from the last octet to the reply. Senders wait
// ten minutes (RFC 5321, 4.5.3.2.6).
const delivering = 4 * time.Minute

// An intake takes in messages while a server runs.
type intake struct {
	cfg       settings
	log       *slog.Logger
	queue     Queue
	quota     quota
	directory *directory
	checker   *sender.Checker
	spools    *spool.Dir
	memory    *semaphore.Weighted // For messages that are being sealed.
	signer    *envelope.SigningKey
	secret    []byte
	names     []string    // Of this server and its domains.
	tls       *tls.Config // Nil: no STARTTLS.

	ctx context.Context // Of messages that were begun; ends after the grace.
}

// newIntake reads the keys.
func (s *Server) newIntake(ctx context.Context) (*intake, error) {
	if s.cfg.SpoolDir != "" {
		if err := os.MkdirAll(s.cfg.SpoolDir, 0o700); err != nil {
			return nil, fmt.Errorf("directory of the spool: %w", err)
		}
	}
	in := &intake{
		cfg: s.cfg, log: s.log, queue: s.queue, directory: s.directory,
		checker: sender.New(s.cfg.Resolver),
		spools:  spool.New(s.cfg.SpoolDir, s.cfg.Memory/2),
		memory:  semaphore.NewWeighted(s.cfg.Memory / 2),
		names:   slices.Concat(s.cfg.Domains, []string{s.cfg.Hostname}),
		ctx:     ctx,
	}
	armored, err := os.ReadFile(s.cfg.SigningKeyFile)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if in.signer, err = envelope.ParseSigningKey(string(armored)); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(s.cfg.QueueSecretFile)
	if err != nil {
		return nil, fmt.Errorf("queue secret: %w", err)
	}
	if in.secret, err = hex.DecodeString(strings.TrimSpace(string(text))); err != nil || len(in.secret) < 32 {
		return nil, errors.New("queue secret: not 32 octets in hex")
	}
	if s.cfg.CertFile == "" {
		return in, nil
	}
	cert, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	in.tls = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	return in, nil
}

// receive takes in one message and returns the name under which the log knows
// it, after every recipient's copy is in the database.
func (in *intake) receive(tx transaction, r io.Reader, s *session) (id string, err error) {
	held, err := in.spools.Receive(smtpline.NewReader(r, smtpline.Limits{Line: maxLine, Header: maxHeader, Size: in.cfg.MaxSize}))
	if err != nil {
		return "", err
	}
	defer held.Close()
	if chunked(r) && s.conn.cutOff(s.over) {
		return "", errCut
	}
	ctx, cancel := context.WithTimeout(in.ctx, delivering)
	defer cancel()
	room := copies * held.Size()
	if err := in.memory.Acquire(ctx, room); err != nil {
		return "", problem.Unavailable.Errorf("too many messages at once")
	}
	defer in.memory.Release(room)
	raw, err := held.Bytes()
	if err != nil {
		return "", err
	}
	m, err := parse(raw)
	if err != nil {
		return "", err
	}
	t := trace{rand.Text()[:12], in.cfg.Hostname, s.conn.ip, tx.helo, tx.from, s.security(), time.Now()}
	return t.id, in.deliver(ctx, tx, m, t)
}

// deliver judges the message, seals it to each recipient, and appends the
// copies. It goes on after a failure, so that one recipient whose database is
// away does not keep the others waiting for ever.
func (in *intake) deliver(ctx context.Context, tx transaction, m *message, t trace) error {
	v := in.checker.Check(ctx, sender.Message{IP: t.ip, HELO: t.helo, From: printable(t.from), Author: m.author, Header: m.header, Raw: m.raw})
	switch {
	case v.Action == sender.Reject && !in.cfg.DMARCRecordOnly:
		return errForged
	case v.Action == sender.Retry && !in.cfg.DMARCRecordOnly:
		return errUnproven
	}
	text := m.stamped(t, v, in.names)
	head := envelope.Header{
		V: 1, From: t.from, Received: t.at, RemoteIP: t.ip.String(), HELO: t.helo, TLS: t.tls,
		SPF: v.SPF, DKIM: v.DKIM, DMARC: v.DMARC, SenderEncrypted: envelope.IsEncrypted(m.raw),
	}
	d := digestOf(t.from, m, t.at)
	var failed error
	for _, to := range tx.to {
		head.To = string(to.address)
		if err := in.append(ctx, to, head, text, entryID(in.secret, d, to.userID, t.at)); err != nil {
			in.log.Debug("appending to a queue", "id", t.id, "user", to.userID, "err", err)
			failed = err
		}
	}
	if failed != nil {
		return failed
	}
	in.log.Info("message taken", "id", t.id, "recipients", len(tx.to), "log2_size", bits.Len(uint(len(m.raw))),
		"tls", t.tls != "", "dmarc", v.DMARC)
	return nil
}

// append seals one copy and appends it.
func (in *intake) append(ctx context.Context, to *recipient, head envelope.Header, text []byte, id string) error {
	sealed, err := envelope.Seal(head, text, to.key.Binary, in.signer, rand.Reader, head.Received)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoKey, err)
	}
	err = in.queue.AddIncoming(ctx, to.userID, record.Incoming{
		ID: id, Received: head.Received.UTC().Truncate(time.Hour), Size: int64(len(sealed)), Body: sealed,
	})
	if err == nil {
		in.quota.add(to.userID, int64(len(sealed)))
	}
	if err == nil || errors.Is(err, problem.Limit) {
		return err
	}
	// Also a database that is not there: tapicero makes it.
	return problem.Unavailable.Errorf("incoming queue: %w", err)
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
