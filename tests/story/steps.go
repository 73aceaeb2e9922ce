package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"leap.example/services/protocol/nick"
)

func (s *play) steps() []step {
	s.program = gophers{}
	if s.opt.foreign {
		s.program = debian{}
	}
	build, start := step{"leapd and leapc are built", s.build}, step{"a provider starts", s.startProvider}
	if s.resume() {
		return []step{build, start, {"alice and bob open their accounts", s.reopen}}
	}
	s.words = newWords()
	list := []step{
		build,
		{"the stage is empty", s.clear},
		start,
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
	if s.opt.stay {
		return append(list, step{"what was lived is noted for the next start", s.save})
	}
	return append(list,
		step{"bob deletes his account", s.bobLeaves},
		step{"the provider still holds no word of it", s.scanProvider})
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
