package imapd

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"leap.example/client/mailstore"
	"leap.example/client/mailstore/flags"
)

var errReadOnly = no("READ-ONLY", "the mailbox was opened by EXAMINE")

// Store implements imapserver.Session.
func (s *session) Store(w *imapserver.FetchWriter, set imap.NumSet, op *imap.StoreFlags, _ *imap.StoreOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	if v.readOnly {
		return errReadOnly
	}
	indices := v.resolve(set)
	names, uids := flagNames(op.Flags), v.uids(indices)
	before := map[uint32][]string{}
	for _, i := range indices {
		before[v.entries[i].UID] = v.entries[i].Flags
	}
	var err error
	switch op.Op {
	case imap.StoreFlagsAdd:
		err = s.server.mail.SetFlags(s.ctx, v.mailbox.ID, uids, names, nil)
	case imap.StoreFlagsDel:
		err = s.server.mail.SetFlags(s.ctx, v.mailbox.ID, uids, nil, names)
	default:
		err = s.server.mail.ReplaceFlags(s.ctx, v.mailbox.ID, uids, names)
	}
	if err != nil {
		return reply(err)
	}
	if err := s.learn(); err != nil {
		return err
	}
	if op.Silent {
		for _, i := range indices {
			// RFC 9051, 6.4.6: the program reckons the result itself, and is told
			// if it cannot, because others have changed the flags too.
			e := &v.entries[i]
			e.changed = !sameFlags(e.Flags, result(before[e.UID], op.Op, names))
		}
		return nil
	}
	for _, i := range indices {
		if err := s.fetchOne(w, uint32(i+1), &v.entries[i], &imap.FetchOptions{UID: true, Flags: true}); err != nil {
			return err
		}
	}
	return nil
}

// Copy implements imapserver.Session.
func (s *session) Copy(set imap.NumSet, dest string) (*imap.CopyData, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.server.mail.Copy(s.ctx, s.view.mailbox.ID, s.view.uids(s.view.resolve(set)), dest)
	if err != nil {
		return nil, tryCreate(err)
	}
	return copyData(c), nil
}

// Move implements imapserver.SessionMove.
func (s *session) Move(w *imapserver.MoveWriter, set imap.NumSet, dest string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	if v.readOnly {
		return errReadOnly
	}
	m, err := s.server.mail.Mailbox(s.ctx, dest)
	if err != nil {
		return tryCreate(err)
	}
	if m.ID == v.mailbox.ID {
		return no(imap.ResponseCodeCannot, "the messages are in that mailbox")
	}
	c, err := s.server.mail.Move(s.ctx, v.mailbox.ID, v.uids(v.resolve(set)), dest)
	if err != nil {
		return tryCreate(err)
	}
	if data := copyData(c); data != nil {
		if err := w.WriteCopyData(data); err != nil {
			return err
		}
	}
	return s.vanished(c.From, w.WriteExpunge)
}

// vanished takes messages that the session's own command has removed out of
// the view, and tells of all that have gone.
func (s *session) vanished(uids []uint32, tell func(uint32) error) error {
	for _, uid := range uids {
		if i, ok := s.view.find(uid); ok {
			s.view.entries[i].Gone = true
		}
	}
	return s.view.drop(tell)
}

func copyData(c mailstore.Copied) *imap.CopyData {
	if len(c.From) == 0 {
		return nil
	}
	data := &imap.CopyData{UIDValidity: c.UIDValidity}
	for i := range c.From {
		// In the order of the sources, so that the ranges correspond.
		data.SourceUIDs.AddNum(imap.UID(c.From[i]))
		data.DestUIDs.AddNum(imap.UID(c.To[i]))
	}
	return data
}

// Expunge implements imapserver.Session. Without uids it is EXPUNGE or CLOSE.
func (s *session) Expunge(w *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	if v.readOnly {
		if uids == nil {
			return nil // CLOSE is no error, RFC 9051, 6.4.1.
		}
		return errReadOnly
	}
	in := func(uint32) bool { return true }
	if uids != nil {
		in = v.uidTest(*uids)
	}
	var named []uint32
	for _, e := range v.entries {
		// changed: the program has not been told of the mark, so it means another message.
		if in(e.UID) && !e.changed && slices.Contains(e.Flags, flags.Deleted) {
			named = append(named, e.UID)
		}
	}
	gone, err := s.server.mail.Expunge(s.ctx, v.mailbox.ID, named)
	if err != nil {
		return reply(err)
	}
	return s.vanished(gone, w.WriteExpunge)
}

// result is what a program reckons the flags to be after STORE.
func result(before []string, op imap.StoreFlagsOp, names []string) []string {
	has := func(f string) bool { return containsFlag(names, f) }
	switch op {
	case imap.StoreFlagsAdd:
		return append(slices.Clone(before), slices.DeleteFunc(slices.Clone(names), func(f string) bool { return containsFlag(before, f) })...)
	case imap.StoreFlagsDel:
		return slices.DeleteFunc(slices.Clone(before), has)
	}
	return names
}

func sameFlags(a, b []string) bool {
	in := func(list []string) func(string) bool {
		return func(f string) bool { return !containsFlag(list, f) }
	}
	return !slices.ContainsFunc(a, in(b)) && !slices.ContainsFunc(b, in(a))
}

func containsFlag(list []string, flag string) bool {
	return slices.ContainsFunc(list, func(f string) bool { return strings.EqualFold(f, flag) })
}
