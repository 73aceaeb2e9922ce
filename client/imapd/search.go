package imapd

import (
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"leap.example/client/mailstore"
)

// Search implements imapserver.Session.
func (s *session) Search(kind imapserver.NumKind, criteria *imap.SearchCriteria, opt *imap.SearchOptions) (*imap.SearchData, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	uids, err := s.server.mail.Search(s.ctx, v.mailbox.ID, v.query(criteria))
	if err != nil {
		return nil, reply(err)
	}
	var data imap.SearchData
	var seqs imap.SeqSet
	var set imap.UIDSet
	var found []uint32
	for _, uid := range uids {
		i, ok := v.find(uid)
		if !ok {
			continue // Not yet told of.
		}
		n := uid
		if kind == imapserver.NumKindSeq {
			n = uint32(i + 1)
		}
		seqs.AddNum(uint32(i + 1))
		set.AddNum(imap.UID(uid))
		found = append(found, uid)
		if data.Min == 0 {
			data.Min = n
		}
		data.Max = n
		data.Count++
	}
	data.All = set
	if kind == imapserver.NumKindSeq {
		data.All = seqs
	}
	if opt.ReturnSave {
		v.saved = found
	}
	return &data, nil
}

// query turns criteria into those of the store, which knows no sequence
// numbers.
func (v *view) query(c *imap.SearchCriteria) mailstore.Query {
	q := mailstore.Query{
		Since: c.Since, Before: c.Before, SentSince: c.SentSince, SentBefore: c.SentBefore,
		Body: c.Body, Text: c.Text, Larger: c.Larger, Smaller: c.Smaller,
		Flags: names(c.Flag), NotFlags: names(c.NotFlag),
	}
	for _, set := range c.SeqNum {
		q.In = append(q.In, func(uid uint32) bool {
			i, ok := v.find(uid)
			return ok && inSet(set, uint32(i+1), uint32(len(v.entries)))
		})
	}
	for _, set := range c.UID {
		q.In = append(q.In, v.uidTest(set))
	}
	for _, h := range c.Header {
		q.Header = append(q.Header, mailstore.HeaderQuery{Name: h.Key, Value: h.Value})
	}
	for i := range c.Not {
		q.Not = append(q.Not, v.query(&c.Not[i]))
	}
	for i := range c.Or {
		q.Or = append(q.Or, [2]mailstore.Query{v.query(&c.Or[i][0]), v.query(&c.Or[i][1])})
	}
	return q
}

func names(flags []imap.Flag) []string {
	var list []string
	for _, f := range flags {
		list = append(list, string(f))
	}
	return list
}
