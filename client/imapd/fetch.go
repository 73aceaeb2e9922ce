package imapd

import (
	"io"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"leap.example/client/mailmime"
	"leap.example/client/mailstore/flags"
)

// Fetch implements imapserver.Session.
func (s *session) Fetch(w *imapserver.FetchWriter, set imap.NumSet, opt *imap.FetchOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	indices := v.resolve(set)
	if err := s.markSeen(indices, opt); err != nil {
		return reply(err)
	}
	for _, i := range indices {
		if err := s.fetchOne(w, uint32(i+1), &v.entries[i], opt); err != nil {
			return err
		}
	}
	return nil
}

// markSeen sets \Seen where octets are read without PEEK.
func (s *session) markSeen(indices []int, opt *imap.FetchOptions) error {
	reads := slices.ContainsFunc(opt.BodySection, func(b *imap.FetchItemBodySection) bool { return !b.Peek }) ||
		slices.ContainsFunc(opt.BinarySection, func(b *imap.FetchItemBinarySection) bool { return !b.Peek })
	if !reads || s.view.readOnly {
		return nil
	}
	unseen := slices.DeleteFunc(slices.Clone(indices), func(i int) bool {
		return slices.Contains(s.view.entries[i].Flags, flags.Seen)
	})
	if len(unseen) == 0 {
		return nil
	}
	opt.Flags = true // RFC 9051, 7.5.2: the program is told.
	if err := s.server.mail.SetFlags(s.ctx, s.view.mailbox.ID, s.view.uids(unseen), []string{flags.Seen}, nil); err != nil {
		return err
	}
	return s.learn()
}

// learn takes over what the session's own command has changed. The program is
// told by the answer to the command, or by Poll.
func (s *session) learn() error {
	changes, modseq, err := s.server.mail.Changes(s.ctx, s.view.mailbox.ID, s.view.modseq)
	if err != nil {
		return err
	}
	s.view.modseq = modseq
	for _, it := range changes {
		s.view.take(it)
	}
	return nil
}

// needs says how much of a message an answer takes.
type needs int

const (
	nothing needs = iota
	header
	everything
)

func need(opt *imap.FetchOptions) needs {
	n := nothing
	if opt.Envelope {
		n = header
	}
	for _, b := range opt.BodySection {
		if !headerOnly(b) {
			return everything
		}
		n = header
	}
	if opt.BodyStructure != nil || len(opt.BinarySection) > 0 || len(opt.BinarySectionSize) > 0 {
		return everything
	}
	return n
}

func (s *session) fetchOne(w *imapserver.FetchWriter, seq uint32, e *entry, opt *imap.FetchOptions) error {
	var root *mailmime.Part
	switch need(opt) {
	case header:
		head, err := s.server.mail.Head(s.ctx, e.Item)
		if err != nil {
			return reply(err) // It may have been collected while the program still shows it.
		}
		root = &mailmime.Part{Raw: head, Head: head, Header: mailmime.ParseHeader(head)}
	case everything:
		release, err := s.server.reserve(s.ctx, e.Size)
		if err != nil {
			return err
		}
		defer release()
		raw, err := s.raw(e, opt)
		if err != nil {
			return reply(err) // It may have been collected while the program still shows it.
		}
		root = mailmime.Parse(raw)
	}
	out := w.CreateMessage(seq)
	err := write(out, e, root, opt)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}

// raw reads a message. One that is read in pieces is kept for the next piece.
func (s *session) raw(e *entry, opt *imap.FetchOptions) ([]byte, error) {
	key := cacheKey{s.view.mailbox.ID, e.UID}
	if raw := s.server.cache.get(key); raw != nil {
		return raw, nil
	}
	raw, err := s.server.mail.Raw(s.ctx, e.Item)
	if err == nil && slices.ContainsFunc(opt.BodySection, func(b *imap.FetchItemBodySection) bool { return b.Partial != nil }) {
		s.server.cache.put(key, raw)
	}
	return raw, err
}

func write(out *imapserver.FetchResponseWriter, e *entry, root *mailmime.Part, opt *imap.FetchOptions) error {
	if opt.UID {
		out.WriteUID(imap.UID(e.UID))
	}
	if opt.Flags {
		out.WriteFlags(imapFlags(e.Flags))
		e.changed = false
	}
	if opt.InternalDate {
		out.WriteInternalDate(e.Date)
	}
	if opt.RFC822Size {
		out.WriteRFC822Size(e.Size)
	}
	if opt.Envelope {
		out.WriteEnvelope(envelope(root.Header))
	}
	if opt.BodyStructure != nil {
		out.WriteBodyStructure(structure(root))
	}
	for _, b := range opt.BodySection {
		data := section(root, b)
		if err := literal(out.WriteBodySection(b, int64(len(data))), data); err != nil {
			return err
		}
	}
	for _, b := range opt.BinarySection {
		data := binary(root, b.Part, b.Partial)
		if err := literal(out.WriteBinarySection(b, int64(len(data))), data); err != nil {
			return err
		}
	}
	for _, b := range opt.BinarySectionSize {
		out.WriteBinarySectionSize(b, uint32(len(binary(root, b.Part, nil))))
	}
	return nil
}

func literal(w io.WriteCloser, data []byte) error {
	_, err := w.Write(data)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}
