package imapd

import (
	"cmp"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"leap.example/client/mailstore"
	"leap.example/client/mailstore/flags"
)

// A view is the mailbox as its mail program knows it: entry i has the sequence
// number i+1.
type view struct {
	mailbox  mailstore.Mailbox
	readOnly bool
	entries  []entry          // By UID.
	fresh    []mailstore.Item // New ones that the program has not been told of.
	modseq   int64
	saved    []uint32 // UIDs of the last SEARCH RETURN (SAVE), RFC 5182.
}

// An entry is a message with the flags that the program knows. Gone in it
// means: it has vanished, and the program has not been told.
type entry struct {
	mailstore.Item
	changed bool // The program has not been told of the flags.
}

// Poll implements imapserver.Session.
func (s *session) Poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		return nil
	}
	if err := s.learn(); err != nil {
		return err
	}
	return s.view.tell(w, allowExpunge)
}

// Idle implements imapserver.Session.
func (s *session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	s.wg.Add(1)
	defer s.wg.Done()
	changed, cancel := s.server.mail.Watch()
	defer cancel()
	for {
		if err := s.Poll(w, true); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stop:
			return nil
		case <-s.ctx.Done():
			return nil
		}
	}
}

// take notes one change of the mailbox.
func (v *view) take(it mailstore.Item) {
	i, known := v.find(it.UID)
	switch {
	case known && it.Gone:
		v.entries[i].Gone = true
	case known:
		if !slices.Equal(v.entries[i].Flags, it.Flags) {
			v.entries[i].Flags, v.entries[i].changed = it.Flags, true
		}
	case it.Gone:
		v.fresh = slices.DeleteFunc(v.fresh, func(f mailstore.Item) bool { return f.UID == it.UID })
	default:
		if j := slices.IndexFunc(v.fresh, func(f mailstore.Item) bool { return f.UID == it.UID }); j >= 0 {
			v.fresh[j] = it
		} else {
			v.fresh = append(v.fresh, it)
		}
	}
}

// tell brings the program up to date. Vanished messages keep their numbers
// until it may be told of them (RFC 9051, 7.5.1).
func (v *view) tell(w *imapserver.UpdateWriter, allowExpunge bool) error {
	if allowExpunge {
		if err := v.drop(w.WriteExpunge); err != nil {
			return err
		}
	}
	if len(v.fresh) > 0 {
		slices.SortFunc(v.fresh, func(a, b mailstore.Item) int { return cmp.Compare(a.UID, b.UID) })
		for _, it := range v.fresh {
			v.entries = append(v.entries, entry{Item: it})
		}
		v.fresh = nil
		if err := w.WriteNumMessages(uint32(len(v.entries))); err != nil {
			return err
		}
	}
	for i := range v.entries {
		e := &v.entries[i]
		if !e.changed || e.Gone {
			continue
		}
		e.changed = false
		if err := w.WriteMessageFlags(uint32(i+1), imap.UID(e.UID), imapFlags(e.Flags)); err != nil {
			return err
		}
	}
	return nil
}

// drop removes vanished messages, the last first, and tells of each.
func (v *view) drop(tell func(seq uint32) error) error {
	for i := len(v.entries) - 1; i >= 0; i-- {
		if v.entries[i].Gone {
			if err := tell(uint32(i + 1)); err != nil {
				return err
			}
		}
	}
	v.entries = slices.DeleteFunc(v.entries, func(e entry) bool { return e.Gone })
	return nil
}

func (v *view) find(uid uint32) (int, bool) {
	return slices.BinarySearchFunc(v.entries, uid, func(e entry, uid uint32) int { return cmp.Compare(e.UID, uid) })
}

// resolve returns the indices of the entries that a set names.
func (v *view) resolve(set imap.NumSet) []int {
	var found []int
	switch set := set.(type) {
	case imap.SeqSet:
		for i := range v.entries {
			if inSet(set, uint32(i+1), uint32(len(v.entries))) {
				found = append(found, i)
			}
		}
	case imap.UIDSet:
		in := v.uidTest(set)
		for i, e := range v.entries {
			if in(e.UID) {
				found = append(found, i)
			}
		}
	}
	return found
}

// uidTest returns whether a UID is in a set, which may be "$".
func (v *view) uidTest(set imap.UIDSet) func(uint32) bool {
	if imap.IsSearchRes(set) {
		saved := v.saved
		return func(uid uint32) bool { return slices.Contains(saved, uid) }
	}
	seqs := make(imap.SeqSet, len(set))
	for i, r := range set {
		seqs[i] = imap.SeqRange{Start: uint32(r.Start), Stop: uint32(r.Stop)}
	}
	last := uint32(0)
	if n := len(v.entries); n > 0 {
		last = v.entries[n-1].UID
	}
	return func(uid uint32) bool { return inSet(seqs, uid, last) }
}

// inSet reports whether n is in a set in which 0 stands for "*", the last
// number. "*:3" and "3:*" are the same range (RFC 9051, 9: seq-range).
func inSet(set imap.SeqSet, n, last uint32) bool {
	for _, r := range set {
		from, to := r.Start, r.Stop
		if from == 0 {
			from = last
		}
		if to == 0 {
			to = last
		}
		if from > to {
			from, to = to, from
		}
		if from <= n && n <= to {
			return true
		}
	}
	return false
}

// uids returns the UIDs of entries.
func (v *view) uids(indices []int) []uint32 {
	var list []uint32
	for _, i := range indices {
		list = append(list, v.entries[i].UID)
	}
	return list
}

// flags returns the flags that the mailbox has, and the system flags.
func (v *view) flags() []imap.Flag {
	seen := map[string]bool{}
	list := []string{flags.Answered, flags.Flagged, flags.Deleted, flags.Seen, flags.Draft}
	for _, f := range list {
		seen[f] = true
	}
	for _, e := range v.entries {
		for _, f := range e.Flags {
			if !seen[f] {
				seen[f] = true
				list = append(list, f)
			}
		}
	}
	slices.Sort(list[5:])
	return imapFlags(list)
}

func imapFlags(names []string) []imap.Flag {
	list := make([]imap.Flag, len(names))
	for i, n := range names {
		list[i] = imap.Flag(n)
	}
	return list
}

func (v *view) firstUnseen() uint32 {
	return uint32(slices.IndexFunc(v.entries, func(e entry) bool { return !slices.Contains(e.Flags, flags.Seen) }) + 1)
}
