package play

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// subject is beyond ASCII, so that encodings are exercised on the way.
func (s *Story) subject() string { return "Grüße, žluťoučký kůň ☂ " + s.words.subject }

// post sends a mail, again as long as the server says that this would help.
func (s *Story) post(send func() error) error {
	var last error
	err := s.Until("the mail is taken", 20*time.Second, func() error {
		last = send()
		if e, ok := errors.AsType[*smtp.SMTPError](last); ok && e.Temporary() {
			return e
		}
		return nil
	})
	if err != nil {
		return err
	}
	return last
}

func (s *Story) aliceWrites() error {
	msg := compose(s.alice.mail.Address, s.bob.mail.Address, s.subject(), "Dear Bob, = "+s.words.body+" ☂\r\n", "\x00\x01 "+s.words.attachment)
	return s.post(func() error { return s.program().send(s.alice, s.bob.mail.Address, msg) })
}

// isAlices checks that a message is alice's mail, whole.
func (s *Story) isAlices(m message) error {
	p, err := m.open()
	switch {
	case err != nil:
		return err
	case !strings.Contains(string(m.raw), s.words.attachment) && !strings.Contains(p.attachment, s.words.attachment):
		return errOther
	case p.subject != s.subject():
		return fmt.Errorf("the subject is %q", p.subject)
	case !strings.Contains(p.text, s.words.body):
		return fmt.Errorf("the text is %q", p.text)
	case p.attachment != "\x00\x01 "+s.words.attachment:
		return fmt.Errorf("the attachment is %q", p.attachment)
	}
	return nil
}

func (s *Story) bobReads() error {
	m, err := s.bob.receive("INBOX", s.isAlices)
	if err != nil {
		return err
	}
	p, err := m.open()
	if err != nil {
		return err
	}
	alice, err := s.bob.key(s.alice.mail.Address)
	if err != nil {
		return err
	}
	got := p.header.Get("X-Leap-Signature")
	if !strings.HasPrefix(got, "valid") || !strings.Contains(strings.ToLower(got), strings.ToLower(alice.Fingerprint)) {
		return fmt.Errorf("X-Leap-Signature: %q, want valid by %s", got, alice.Fingerprint)
	}
	if got := p.header.Get("X-Leap-Encryption"); got != "decrypted" {
		return fmt.Errorf("X-Leap-Encryption: %q", got)
	}
	return nil
}

func (s *Story) isStrangers(m message) error {
	p, err := m.open()
	if err != nil {
		return err
	}
	if !strings.Contains(p.text, s.words.stranger) {
		return errOther
	}
	if got := p.header.Get("X-Leap-Signature"); strings.HasPrefix(got, "valid") {
		return fmt.Errorf("a stranger's mail has X-Leap-Signature: %q", got)
	}
	return nil
}

func (s *Story) strangerWrites() error {
	err := s.post(func() error { return s.stranger(s.bob.mail.Address, "hello", "I write in clear: "+s.words.stranger) })
	if err != nil {
		return err
	}
	_, err = s.bob.receive("INBOX", s.isStrangers)
	return err
}

func (s *Story) secondDevice() (err error) {
	if s.phone, err = s.newPerson("bob-phone", "bob", s.words.bobPassword); err != nil {
		return err
	}
	if err := s.phone.join("login", "bob"); err != nil {
		return err
	}
	if _, err := s.phone.receive("INBOX", s.isAlices); err != nil {
		return err
	}
	_, err = s.phone.receive("INBOX", s.isStrangers)
	return err
}

func (s *Story) bobArchives() error {
	m, err := s.bob.receive("INBOX", s.isAlices)
	if err != nil {
		return err
	}
	if err := s.program().archive(s.bob, m); err != nil {
		return err
	}
	_, err = s.phone.receive("Archive", func(m message) error {
		if err := s.isAlices(m); err != nil {
			return err
		}
		if !slices.Contains(m.flags, `\Flagged`) {
			return fmt.Errorf("its flags are %q", m.flags)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.Until("the mail has left the phone's INBOX", 20*time.Second, func() error {
		all, err := s.program().fetch(s.phone, "INBOX")
		if err != nil {
			return err
		}
		for _, m := range all {
			if s.isAlices(m) == nil {
				return errors.New("still there")
			}
		}
		return nil
	})
}

func (s *Story) aliceChangesPassword() error {
	if _, err := s.alice.leapc("not the password\n"+s.words.aliceNewPassword+"\n", "passwd"); err == nil {
		return errors.New("a wrong present password was accepted")
	}
	_, err := s.alice.leapc(s.words.alicePassword+"\n"+s.words.aliceNewPassword+"\n", "passwd")
	s.alice.password = s.words.aliceNewPassword
	return err
}

func (s *Story) aliceStillReads() error {
	s.alice.daemon.Stop()
	if err := s.alice.wake(); err != nil {
		return err
	}
	if _, err := s.alice.leapc(s.words.alicePassword+"\n", "login"); err == nil {
		return errors.New("the old password still opens the account")
	}
	if _, err := s.alice.leapc(s.words.aliceNewPassword+"\n", "login"); err != nil {
		return err
	}
	if err := s.alice.settings(); err != nil {
		return err
	}
	if _, err := s.alice.receive("Sent", s.isAlices); err != nil {
		return err
	}
	// A new device with the new password has everything too.
	tablet, err := s.newPerson("alice-tablet", "alice", s.words.aliceNewPassword)
	if err != nil {
		return err
	}
	defer tablet.daemon.Stop()
	if err := tablet.join("login", "alice"); err != nil {
		return err
	}
	_, err = tablet.receive("Sent", s.isAlices)
	return err
}

// Talk has alice write to bob what she has not written before, and bob read it.
func (s *Story) Talk() error {
	word := Word("TALK")
	msg := compose(s.alice.mail.Address, s.bob.mail.Address, "in between", word, word)
	if err := s.post(func() error { return s.program().send(s.alice, s.bob.mail.Address, msg) }); err != nil {
		return err
	}
	_, err := s.bob.receive("INBOX", func(m message) error {
		p, err := m.open()
		if err == nil && strings.TrimSpace(p.text) != word {
			err = errOther
		}
		return err
	})
	return err
}
