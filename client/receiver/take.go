package receiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leap.example/client/mailmime"
	"leap.example/client/mailstore"
	"leap.example/services/protocol/envelope"
)

// A taken is what became of one entry: a message, or the reason why it does
// not open, or what went wrong beside it.
type taken struct {
	message mailstore.Message
	sealed  error
	err     error
}

// errTooLarge means that a message does not fit into the store.
var errTooLarge = errors.New("the message is too large")

// take fetches and opens one entry.
func (r *Receiver) take(ctx context.Context, q Queue, id string) taken {
	data, err := q.FetchIncoming(ctx, id)
	if err != nil {
		return taken{err: fmt.Errorf("fetching a message: %w", err)}
	}
	h, raw, err := r.open(ctx, data)
	switch {
	case errors.Is(err, envelope.ErrDecrypt), errors.Is(err, envelope.ErrSigner), errors.Is(err, envelope.ErrInner):
		return taken{sealed: err}
	case err != nil:
		return taken{err: err}
	}
	m, err := r.read(ctx, h, raw)
	switch {
	case err != nil:
		return taken{err: err}
	case len(m.raw) > mailstore.MaxMessage:
		return taken{sealed: errTooLarge}
	}
	return taken{message: mailstore.Message{
		ID: id, Mailbox: mailstore.Inbox, Raw: m.raw, Flags: m.flags, Date: h.Received, State: m.state,
	}}
}

// open opens the envelope, asking for the MX's keys anew when the signer is
// unknown: the provider may have changed them.
func (r *Receiver) open(ctx context.Context, data []byte) (envelope.Header, []byte, error) {
	mx, err := r.mxKeys(ctx, false)
	if err != nil {
		return envelope.Header{}, nil, fmt.Errorf("getting the keys of the mail servers: %w", err)
	}
	h, raw, err := r.keys.OpenEnvelope(ctx, data, mx)
	if !errors.Is(err, envelope.ErrSigner) {
		return h, raw, err
	}
	if mx, err = r.mxKeys(ctx, true); err != nil {
		return envelope.Header{}, nil, fmt.Errorf("getting the keys of the mail servers: %w", err)
	}
	return r.keys.OpenEnvelope(ctx, data, mx)
}

// fail notes that an entry does not open, and returns the message that tells
// the user.
func (r *Receiver) fail(id string, why error) mailstore.Message {
	r.putOff(id)
	r.log.Warn("an incoming message does not open", "err", why)
	name, text := "inner", "Its content is damaged."
	switch {
	case errors.Is(why, envelope.ErrDecrypt):
		name, text = "decrypt", "It is not sealed to a key of yours, or damaged. If another device of yours\r\nholds a key that this one lacks, open the client there."
	case errors.Is(why, envelope.ErrSigner):
		name, text = "signer", "It is not signed by a mail server of your provider: somebody else may have put\r\nit there."
	}
	if errors.Is(why, errTooLarge) {
		name, text = "large", "It is larger than what this client keeps."
	}
	now := time.Now().UTC()
	h := mailmime.Header{
		mailmime.NewField("From", "Mail client <noreply@localhost.invalid>"),
		mailmime.NewField("To", "undisclosed-recipients:;"),
		mailmime.NewField("Subject", "A message could not be opened"),
		mailmime.NewField("Date", now.Format("Mon, 02 Jan 2006 15:04:05 -0700")),
		mailmime.NewField("Auto-Submitted", "auto-generated"), // RFC 3834.
		mailmime.NewField("MIME-Version", "1.0"),
		mailmime.NewField("Content-Type", "text/plain; charset=us-ascii"),
	}
	body := "A message arrived that this device cannot open.\r\n\r\n" + text + "\r\n\r\n" +
		"It is kept at the provider, sealed, and will be tried again, at once when your\r\nkey changes. " +
		"Further messages of this kind are not announced today.\r\n"
	return mailstore.Message{ID: "notice-" + name + now.Format("-20060102"), Mailbox: mailstore.Inbox, Raw: h.Message([]byte(body)), Date: now}
}

// putOff lets others go before an entry.
func (r *Receiver) putOff(id string) {
	f := r.bad[id]
	f.pause = min(max(2*f.pause, firstPause), maxPause)
	f.next = time.Now().Add(f.pause)
	r.bad[id] = f
}
