package imapd

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"leap.example/client/mailstore"
)

// List implements imapserver.Session.
func (s *session) List(w *imapserver.ListWriter, ref string, patterns []string, opt *imap.ListOptions) error {
	if len(patterns) == 0 { // RFC 9051, 6.3.9: asks for the delimiter.
		return w.WriteList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: mailstore.Delimiter})
	}
	all, err := s.server.mail.Mailboxes(s.ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		below := opt.SelectRecursiveMatch && subscribedBelow(m, all)
		if opt.SelectSubscribed && !m.Subscribed && !below || opt.SelectSpecialUse && m.Use == "" || !matches(m.Name, ref, patterns) {
			continue
		}
		data := &imap.ListData{Delim: mailstore.Delimiter, Mailbox: m.Name, Attrs: attributes(m)}
		if m.Subscribed && (opt.ReturnSubscribed || opt.SelectSubscribed) {
			data.Attrs = append(data.Attrs, imap.MailboxAttrSubscribed)
		}
		data.Attrs = append(data.Attrs, children(m, all))
		if below { // RFC 5258, 3.5.
			data.ChildInfo = &imap.ListDataChildInfo{Subscribed: true}
		}
		if opt.ReturnStatus != nil {
			if data.Status, err = s.Status(m.Name, opt.ReturnStatus); err != nil {
				continue // It was deleted since: RFC 5819, 2, wants no STATUS then.
			}
		}
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}

func matches(name, ref string, patterns []string) bool {
	for _, p := range patterns {
		if first, rest, deep := strings.Cut(p, string(mailstore.Delimiter)); strings.EqualFold(first, mailstore.Inbox) {
			p = mailstore.Inbox
			if deep {
				p += string(mailstore.Delimiter) + rest
			}
		}
		if imapserver.MatchList(name, mailstore.Delimiter, ref, p) {
			return true
		}
	}
	return false
}

func attributes(m mailstore.Mailbox) []imap.MailboxAttr {
	if m.Use == "" {
		return nil
	}
	return []imap.MailboxAttr{imap.MailboxAttr(m.Use)}
}

func subscribedBelow(m mailstore.Mailbox, all []mailstore.Mailbox) bool {
	return slices.ContainsFunc(all, func(o mailstore.Mailbox) bool { return o.Subscribed && isBelow(o, m) })
}

func isBelow(o, m mailstore.Mailbox) bool {
	return strings.HasPrefix(o.Name, m.Name+string(mailstore.Delimiter))
}

func children(m mailstore.Mailbox, all []mailstore.Mailbox) imap.MailboxAttr {
	if slices.ContainsFunc(all, func(o mailstore.Mailbox) bool { return isBelow(o, m) }) {
		return imap.MailboxAttrHasChildren
	}
	return imap.MailboxAttrHasNoChildren
}

// Status implements imapserver.Session.
func (s *session) Status(name string, opt *imap.StatusOptions) (*imap.StatusData, error) {
	if opt.DeletedStorage { // RFC 9208, which is not announced.
		return nil, no(imap.ResponseCodeCannot, "there are no quotas")
	}
	st, err := s.server.mail.Status(s.ctx, name)
	if err != nil {
		return nil, reply(err)
	}
	recent, limit := uint32(0), uint32(mailstore.MaxMessage)
	return &imap.StatusData{
		Mailbox: st.Name, NumMessages: &st.Messages, NumRecent: &recent, UIDNext: imap.UID(st.UIDNext),
		UIDValidity: st.UIDValidity, NumUnseen: &st.Unseen, NumDeleted: &st.Deleted, Size: &st.Size,
		AppendLimit: &limit,
	}, nil
}
