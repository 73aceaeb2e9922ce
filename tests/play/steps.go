package play

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"leap.example/services/protocol/nick"
)

// Begin returns the steps up to where both people have all that they can have.
func (s *Story) Begin() []Step {
	s.words = newWords()
	return []Step{
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
}

// Again returns the steps by which they see that all still works.
func (s *Story) Again() []Step {
	return []Step{
		{"alice writes again", s.aliceWrites},
		{"bob reads it", s.bobReads},
	}
}

// Leave returns the steps by which one of them leaves.
func (s *Story) Leave() []Step {
	return []Step{
		{"bob deletes his account", s.bobLeaves},
		{"the provider still holds no word of it", s.scanProvider},
	}
}

func (s *Story) wrongFingerprint() error {
	p, err := s.newPerson("mallory", "mallory", Word("pw"))
	if err != nil {
		return err
	}
	defer p.daemon.Stop()
	wrong := "SHA256: " + strings.Repeat("ab", 32)
	_, err = p.leapc("", "provider", "add", s.At.Bootstrap, "--ca-fingerprint", wrong, "--resolver", s.At.Resolver)
	if err == nil {
		return errors.New("the client went on")
	}
	if !strings.Contains(err.Error(), "fingerprint") {
		return fmt.Errorf("the client stopped for another reason: %w", err)
	}
	return nil
}

func (s *Story) aliceJoins() (err error) {
	if s.alice, err = s.newPerson("alice", "alice", s.words.alicePassword); err != nil {
		return err
	}
	return s.alice.join("signup", "alice", "--invite", s.At.Invite)
}

func (s *Story) bobJoins() (err error) {
	if s.bob, err = s.newPerson("bob", "bob", s.words.bobPassword); err != nil {
		return err
	}
	if err := s.bob.join("signup", "bob", "--invite", "no-such-code"); err == nil {
		return errors.New("a made-up invite code was accepted")
	}
	return s.bob.join("signup", "bob", "--invite", s.At.Invite)
}

func (s *Story) keysArePublished() error {
	for _, p := range []*person{s.alice, s.bob} {
		own, err := p.key(p.mail.Address)
		if err != nil {
			return err
		}
		body, err := s.get(s.At.Nickserver + "/?address=" + url.QueryEscape(p.mail.Address))
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
			s.At.WKD + "/.well-known/openpgpkey/" + s.At.Domain + "/hu/" + hash + "?l=" + p.login,
			s.At.Nickserver + "/.well-known/openpgpkey/hu/" + hash + "?l=" + p.login,
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
