package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leap.example/client/control"
	"leap.example/services/protocol/nick"
)

func (s *play) steps() []step {
	s.words, s.program = newWords(), gophers{}
	if s.opt.foreign {
		s.program = debian{}
	}
	list := []step{
		{"leapd and leapc are built", s.build},
		{"a provider starts", s.startProvider},
		{"a wrong CA fingerprint stops the client", s.wrongFingerprint},
		{"alice signs up with an invite code", s.aliceJoins},
		{"bob signs up with an invite code", s.bobJoins},
		{"their keys are published: nickserver and WKD", s.keysArePublished},
		{"alice sends bob a mail with an attachment", s.aliceWrites},
		{"bob reads it, decrypted, alice's signature valid", s.bobReads},
		{"a stranger's cleartext mail reaches bob", s.strangerWrites},
		{"bob's second device has the account", s.secondDevice},
		{"bob's flag and archive move appear on it", s.bobArchives},
		{"alice changes her password", s.aliceChangesPassword},
		{"alice still reads everything, after a restart", s.aliceStillReads},
		{"the provider holds no word of it", s.scanProvider},
	}
	if !s.opt.stay {
		list = append(list,
			step{"bob deletes his account", s.bobLeaves},
			step{"the provider still holds no word of it", s.scanProvider})
	}
	return list
}

func (s *play) wrongFingerprint() error {
	p, err := s.newPerson("mallory", "mallory", word("pw"))
	if err != nil {
		return err
	}
	defer p.daemon.stop()
	wrong := "SHA256: " + strings.Repeat("ab", 32)
	_, err = p.leapc("", "provider", "add", s.at.Bootstrap, "--ca-fingerprint", wrong, "--resolver", s.at.Resolver)
	if err == nil {
		return errors.New("the client went on")
	}
	if !strings.Contains(err.Error(), "fingerprint") {
		return fmt.Errorf("the client stopped for another reason: %w", err)
	}
	return nil
}

func (s *play) aliceJoins() (err error) {
	if s.alice, err = s.newPerson("alice", "alice", s.words.alicePassword); err != nil {
		return err
	}
	return s.alice.join("signup", "alice", "--invite", s.at.Invite)
}

func (s *play) bobJoins() (err error) {
	if s.bob, err = s.newPerson("bob", "bob", s.words.bobPassword); err != nil {
		return err
	}
	if err := s.bob.join("signup", "bob", "--invite", "no-such-code"); err == nil {
		return errors.New("a made-up invite code was accepted")
	}
	return s.bob.join("signup", "bob", "--invite", s.at.Invite)
}

func (s *play) keysArePublished() error {
	for _, p := range []*person{s.alice, s.bob} {
		own, err := p.key(p.mail.Address)
		if err != nil {
			return err
		}
		body, err := s.get(s.at.Nickserver + "/?address=" + url.QueryEscape(p.mail.Address))
		if err != nil {
			return err
		}
		reply, err := decode[struct{ Address, OpenPGP string }](body)
		if err != nil {
			return err
		}
		key, err := nick.ParseKey(reply.OpenPGP)
		if err != nil {
			return err
		}
		if !strings.EqualFold(key.Fingerprint, own.Fingerprint) {
			return fmt.Errorf("nickserver says %s, %s has %s", key.Fingerprint, p.name, own.Fingerprint)
		}
		hash := nick.WKDHash(p.login)
		for _, at := range []string{
			s.at.WKD + "/.well-known/openpgpkey/" + s.at.Domain + "/hu/" + hash + "?l=" + p.login,
			s.at.Nickserver + "/.well-known/openpgpkey/hu/" + hash + "?l=" + p.login,
		} {
			body, err := s.get(at)
			if err != nil {
				return err
			}
			key, err := nick.ParseKeyBinary(body)
			if err != nil {
				return err
			}
			if !strings.EqualFold(key.Fingerprint, own.Fingerprint) {
				return fmt.Errorf("WKD says %s, %s has %s", key.Fingerprint, p.name, own.Fingerprint)
			}
		}
	}
	return nil
}

// subject is beyond ASCII, so that encodings are exercised on the way.
func (s *play) subject() string { return "Grüße, žluťoučký kůň ☂ " + s.words.subject }

func (s *play) aliceWrites() error {
	msg := compose(s.alice.mail.Address, s.bob.mail.Address, s.subject(), "Dear Bob, = "+s.words.body+" ☂\r\n", "\x00\x01 "+s.words.attachment)
	return s.program.send(s.alice, s.bob.mail.Address, msg)
}

// isAlices checks that a message is alice's mail, whole.
func (s *play) isAlices(m message) error {
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

func (s *play) bobReads() error {
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

func (s *play) isStrangers(m message) error {
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

func (s *play) strangerWrites() error {
	if err := s.stranger(s.bob.mail.Address, "hello", "I write in clear: "+s.words.stranger); err != nil {
		return err
	}
	_, err := s.bob.receive("INBOX", s.isStrangers)
	return err
}

func (s *play) secondDevice() (err error) {
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

func (s *play) bobArchives() error {
	m, err := s.bob.receive("INBOX", s.isAlices)
	if err != nil {
		return err
	}
	if err := s.program.archive(s.bob, m); err != nil {
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
	return s.until("the mail has left the phone's INBOX", 20*time.Second, func() error {
		all, err := s.program.fetch(s.phone, "INBOX")
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

func (s *play) aliceChangesPassword() error {
	if _, err := s.alice.leapc("not the password\n"+s.words.aliceNewPassword+"\n", "passwd"); err == nil {
		return errors.New("a wrong present password was accepted")
	}
	_, err := s.alice.leapc(s.words.alicePassword+"\n"+s.words.aliceNewPassword+"\n", "passwd")
	s.alice.password = s.words.aliceNewPassword
	return err
}

func (s *play) aliceStillReads() error {
	s.alice.daemon.stop()
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
	defer tablet.daemon.stop()
	if err := tablet.join("login", "alice"); err != nil {
		return err
	}
	_, err = tablet.receive("Sent", s.isAlices)
	return err
}

// scanProvider plants a word in clear, in a support ticket, and then looks for
// it and for the secrets. What does not find the ticket would find nothing.
func (s *play) scanProvider() error {
	resp, err := s.web.PostForm(s.at.Web+"/tickets/new", url.Values{"subject": {"help"}, "body": {"please: " + s.words.ticket}})
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("posting a ticket: %s", resp.Status)
	}
	found, err := s.scan(append(s.words.secrets(), s.words.ticket))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(found[s.words.ticket], func(where string) bool { return strings.HasPrefix(where, "tickets/") }) {
		return fmt.Errorf("the scan did not find the ticket in the database: it would not find secrets either (found %v)", found)
	}
	delete(found, s.words.ticket)
	if len(found) > 0 {
		return fmt.Errorf("the provider holds %v", found)
	}
	return s.scanClients()
}

// scanClients looks for the secrets in the homes of the people: they are
// encrypted there too. The mail programs' own files and this story's are left out.
func (s *play) scanClients() error {
	f := &finder{words: s.words.secrets(), found: map[string][]string{}}
	for _, p := range []*person{s.alice, s.bob, s.phone} {
		entries, err := os.ReadDir(p.home)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Type().IsRegular() && e.Name() != "mbsyncrc" {
				if err := f.file(filepath.Join(p.home, e.Name())); err != nil {
					return err
				}
			}
		}
		if err := f.file(p.daemon.log); err != nil {
			return err
		}
	}
	if len(f.found) > 0 {
		return fmt.Errorf("a client's disk holds %v", f.found)
	}
	return nil
}

func (s *play) bobLeaves() error {
	db, before, err := s.userDatabases()
	if err != nil {
		return err
	}
	if _, err := s.bob.leapc(s.words.bobPassword+"\n", "account", "delete", "--yes"); err != nil {
		return err
	}
	err = s.until("bob's database is gone", 30*time.Second, func() error {
		if _, after, err := s.userDatabases(); err != nil || len(after) != len(before)-1 {
			return errors.Join(err, fmt.Errorf("%d of %d user databases are left", len(after), len(before)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	resp, err := s.web.Get(s.at.Nickserver + "/?address=" + url.QueryEscape(s.bob.mail.Address))
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		return fmt.Errorf("bob's key is still published: %s", resp.Status)
	}
	// The name stays blocked, so that nobody else gets bob's mail; what made it his is gone.
	var left map[string]any
	if err := db.get("/identities/bob:"+s.at.Domain, &left); err != nil {
		return err
	}
	for _, member := range []string{"user_id", "keys", "fingerprint", "cert_fingerprints"} {
		if left[member] != nil {
			return fmt.Errorf("bob's identity still has %s", member)
		}
	}
	return s.bobIsGone()
}

// bobIsGone checks that nothing of bob is left on his device.
func (s *play) bobIsGone() error {
	out, err := s.bob.leapc("", "status")
	var st control.Status
	if json.Unmarshal(out, &st) != nil {
		return fmt.Errorf("bob's status: %q, %w", out, err)
	}
	if st.State != control.StateNoAccount {
		return fmt.Errorf("bob's client says %q", st.State)
	}
	return nil
}

// userDatabases lists the databases of users.
func (s *play) userDatabases() (database, []string, error) {
	password, err := os.ReadFile(s.at.CouchPasswordFile)
	if err != nil {
		return database{}, nil, err
	}
	db := database{url: s.at.Couch, password: strings.TrimSpace(string(password))}
	var names []string
	err = db.get("/_all_dbs", &names)
	return db, slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, "user-") }), err
}
