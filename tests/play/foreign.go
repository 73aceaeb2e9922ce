package play

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// debian is the mail program made of Debian's swaks, which sends, and mbsync,
// which keeps a Maildir in step with an IMAP server.
type debian struct{}

// swaks sends one message.
func swaks(s *Story, server, from, to, msg string, more ...string) error {
	file := filepath.Join(s.Dir, "outgoing.eml")
	if err := os.WriteFile(file, []byte(msg), 0o600); err != nil {
		return err
	}
	argv := append([]string{"swaks", "--server", server, "--from", from, "--to", to, "--data", "@" + file, "--silent", "2"}, more...)
	_, err := s.Tool("", []string{"PATH=/usr/bin:/bin", "HOME=" + s.Dir}, argv...)
	return err
}

func (debian) send(p *person, to string, msg []byte) error {
	server := fmt.Sprintf("%s:%d", p.mail.SMTP.Host, p.mail.SMTP.Port)
	return swaks(p.s, server, p.mail.Address, to, string(msg), "--auth", "PLAIN", "--auth-user", p.mail.Username, "--auth-password", p.mail.Password)
}

// sync runs mbsync over all mailboxes in both directions.
func (debian) sync(p *person) error {
	maildir := filepath.Join(p.home, "Maildir")
	if err := os.MkdirAll(maildir, 0o700); err != nil {
		return err
	}
	rc := filepath.Join(p.home, "mbsyncrc")
	config := fmt.Sprintf(`IMAPAccount leap
Host %s
Port %d
User %s
Pass %s
SSLType None
AuthMechs LOGIN

IMAPStore far
Account leap

MaildirStore near
Path %s/
Inbox %s/INBOX
SubFolders Verbatim

Channel mail
Far :far:
Near :near:
Patterns *
Create Near
Expunge Both
SyncState *
`, p.mail.IMAP.Host, p.mail.IMAP.Port, p.mail.Username, p.mail.Password, maildir, maildir)
	if err := os.WriteFile(rc, []byte(config), 0o600); err != nil {
		return err
	}
	_, err := p.s.Tool("", []string{"PATH=/usr/bin:/bin", "HOME=" + p.home}, "mbsync", "-q", "-c", rc, "mail")
	return err
}

func (d debian) fetch(p *person, mailbox string) ([]message, error) {
	if err := d.sync(p); err != nil {
		return nil, err
	}
	var list []message
	for _, sub := range []string{"new", "cur"} {
		files, err := filepath.Glob(filepath.Join(p.home, "Maildir", mailbox, sub, "*"))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				return nil, err
			}
			m := message{file: f, raw: raw}
			if _, info, ok := strings.Cut(filepath.Base(f), ":2,"); ok && strings.Contains(info, "F") {
				m.flags = append(m.flags, `\Flagged`)
			}
			list = append(list, m)
		}
	}
	return list, nil
}

// archive does what a Maildir program does: a rename that sets the flag in the
// name and changes the folder. The name loses mbsync's mark, as it must when a
// message changes folders.
func (d debian) archive(p *person, m message) error {
	name, _, _ := strings.Cut(filepath.Base(m.file), ":2,")
	name, _, _ = strings.Cut(name, ",U=")
	if err := os.Rename(m.file, filepath.Join(p.home, "Maildir", "Archive", "cur", name+":2,FS")); err != nil {
		return err
	}
	return d.sync(p)
}
