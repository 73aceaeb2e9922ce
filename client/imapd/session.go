package imapd

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"leap.example/client/mailstore"
	"leap.example/services/protocol/problem"
)

// A session is one connection. The library calls its methods one at a time,
// except that Close may come while Idle still runs.
type session struct {
	server *Server
	conn   *imapserver.Conn
	ctx    context.Context // Of Serve: the library's interface passes none.
	wg     *sync.WaitGroup // Of Serve.

	mu   sync.Mutex // Guards what follows.
	view *view      // Nil: no mailbox is selected.
}

// Close implements imapserver.Session.
func (s *session) Close() error { return s.Unselect() }

// Login implements imapserver.Session.
func (s *session) Login(user, password string) error {
	if !s.server.cfg.Key.Opens(s.ctx.Done(), user, password) {
		s.server.log.Warn("an IMAP login was refused")
		return imapserver.ErrAuthFailed
	}
	return nil
}

// Select implements imapserver.Session.
func (s *session) Select(name string, opt *imap.SelectOptions) (*imap.SelectData, error) {
	m, err := s.server.mail.Mailbox(s.ctx, name)
	if err != nil {
		return nil, reply(err)
	}
	v := &view{mailbox: m, readOnly: opt.ReadOnly}
	var items []mailstore.Item
	if items, v.modseq, err = s.server.mail.Items(s.ctx, m.ID); err != nil {
		return nil, reply(err)
	}
	next := m.UIDNext
	for _, it := range items {
		v.entries = append(v.entries, entry{Item: it})
		next = max(next, it.UID+1) // One may have come after Mailbox.
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = v
	data := &imap.SelectData{
		Flags:             v.flags(),
		NumMessages:       uint32(len(v.entries)),
		FirstUnseenSeqNum: v.firstUnseen(),
		UIDNext:           imap.UID(next),
		UIDValidity:       m.UIDValidity,
	}
	if s.conn.EnabledCaps().Has(imap.CapIMAP4rev2) { // RFC 9051, 6.3.2.
		data.List = &imap.ListData{Delim: mailstore.Delimiter, Mailbox: m.Name, Attrs: attributes(m)}
	}
	if !opt.ReadOnly {
		data.PermanentFlags = append(slices.Clone(data.Flags), imap.FlagWildcard)
	}
	return data, nil
}

// Unselect implements imapserver.Session.
func (s *session) Unselect() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = nil
	return nil
}

// Create implements imapserver.Session.
func (s *session) Create(name string, _ *imap.CreateOptions) error {
	return reply(s.server.mail.CreateMailbox(s.ctx, name))
}

// Delete implements imapserver.Session.
func (s *session) Delete(name string) error { return reply(s.server.mail.DeleteMailbox(s.ctx, name)) }

// Rename implements imapserver.Session.
func (s *session) Rename(name, to string, _ *imap.RenameOptions) error {
	return reply(s.server.mail.RenameMailbox(s.ctx, name, to))
}

// Subscribe implements imapserver.Session.
func (s *session) Subscribe(name string) error {
	return reply(s.server.mail.Subscribe(s.ctx, name, true))
}

// Unsubscribe implements imapserver.Session.
func (s *session) Unsubscribe(name string) error {
	return reply(s.server.mail.Subscribe(s.ctx, name, false))
}

// Namespace implements imapserver.SessionNamespace.
func (s *session) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Delim: mailstore.Delimiter}}}, nil
}

// AppendLimit implements imapserver.SessionAppendLimit.
func (s *session) AppendLimit() uint32 { return mailstore.MaxMessage }

// Append implements imapserver.Session.
func (s *session) Append(name string, r imap.LiteralReader, opt *imap.AppendOptions) (*imap.AppendData, error) {
	m, err := s.server.mail.Mailbox(s.ctx, name)
	if err != nil {
		return nil, tryCreate(err)
	}
	release, err := s.server.reserve(s.ctx, r.Size())
	if err != nil {
		return nil, err
	}
	defer release()
	raw := make([]byte, r.Size()) // At most AppendLimit: the library has checked.
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, err
	}
	uid, _, err := s.server.mail.Append(s.ctx, name, raw, flagNames(opt.Flags), opt.Time, mailstore.AppendOptions{})
	if err != nil {
		return nil, tryCreate(err)
	}
	return &imap.AppendData{UID: imap.UID(uid), UIDValidity: m.UIDValidity}, nil
}

// reserve takes room for a message of n bytes until release is called.
func (s *Server) reserve(ctx context.Context, n int64) (release func(), err error) {
	n = min(n, s.cfg.MaxMemory)
	if err := s.room.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { s.room.Release(n) }, nil
}

func flagNames(flags []imap.Flag) []string {
	var names []string
	for _, f := range flags {
		if !strings.EqualFold(string(f), `\Recent`) { // RFC 3501, 2.3.2: cannot be set by the client.
			names = append(names, string(f))
		}
	}
	return names
}

// tryCreate is reply for a destination that does not exist, RFC 9051, 6.3.12.
func tryCreate(err error) error {
	if errors.Is(err, problem.NotExist) {
		return no(imap.ResponseCodeTryCreate, "no such mailbox")
	}
	return reply(err)
}

// reply turns an error of the store into a response. What has no kind is left
// to the library, which logs it and answers that the server failed.
func reply(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, problem.NotExist):
		return no(imap.ResponseCodeNonExistent, "it does not exist")
	case errors.Is(err, problem.Exist):
		return no(imap.ResponseCodeAlreadyExists, "it exists")
	case errors.Is(err, problem.Permission):
		return no(imap.ResponseCodeCannot, "that is not possible with this mailbox")
	case errors.Is(err, problem.Limit):
		return no(imap.ResponseCodeLimit, "too much")
	case errors.Is(err, problem.Invalid):
		return no(imap.ResponseCodeCannot, "not possible")
	}
	return err
}

func no(code imap.ResponseCode, text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}
