package smtpd

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"leap.example/client/mailmime"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// A recipient is one address with its key, if it has one.
type recipient struct {
	address nick.Address
	named   bool // In To or Cc.
	key     nick.Key
	keyed   bool
}

// A group is recipients of one copy: all with keys, or all without.
type group struct {
	recipients []recipient
	keyed      bool
	named      bool
}

func (g group) addresses() (list []string) {
	for _, r := range g.recipients {
		list = append(list, string(r.address))
	}
	return list
}

// groups divides recipients: those that the message names by whether they have
// a key, each of the others alone.
func groups(all []recipient) []group {
	keyed, plain := group{keyed: true, named: true}, group{named: true}
	var list []group
	for _, r := range all {
		switch {
		case !r.named:
			list = append(list, group{recipients: []recipient{r}, keyed: r.keyed})
		case r.keyed:
			keyed.recipients = append(keyed.recipients, r)
		default:
			plain.recipients = append(plain.recipients, r)
		}
	}
	for _, g := range []group{plain, keyed} {
		if len(g.recipients) > 0 {
			list = append([]group{g}, list...)
		}
	}
	return list
}

// lookups is how many keys are looked for at once.
const lookups = 8

// find looks for the keys of all recipients. Errors carry kinds: a key that
// cannot be looked for now is problem.Unavailable, one that has expired
// problem.Permission; both name the address, for the user.
func (s *Server) find(ctx context.Context, message *mailmime.Part, to []nick.Address) ([]recipient, error) {
	named := map[nick.Address]bool{}
	for _, field := range []string{"To", "Cc"} {
		list, _ := message.Header.Addresses(field) // What cannot be read names nobody.
		for _, a := range list {
			if addr, err := nick.ParseAddress(a.Address); err == nil {
				named[addr] = true
			}
		}
	}
	all := make([]recipient, len(to))
	errs := make([]error, len(to))
	var wg sync.WaitGroup
	room := make(chan struct{}, lookups)
	for i, a := range to {
		all[i] = recipient{address: a, named: named[a]}
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			all[i].key, all[i].keyed, errs[i] = s.findKey(ctx, a)
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

func (s *Server) findKey(ctx context.Context, a nick.Address) (key nick.Key, ok bool, err error) {
	if s.own(a) {
		own, err := s.keys.Own(ctx)
		if err != nil {
			return nick.Key{}, false, problem.Unavailable.Errorf("the account's key is not there yet")
		}
		return own.Key(), true, nil
	}
	key, _, err = s.keys.Find(ctx, a)
	switch {
	case errors.Is(err, problem.NotExist):
		return nick.Key{}, false, nil
	case err != nil:
		return nick.Key{}, false, errors.Join(problem.Unavailable.Errorf("the key of %s cannot be looked for now", a), err)
	case key.Expired(time.Now()):
		return nick.Key{}, false, problem.Permission.Errorf("the key of %s has expired", a)
	}
	return key, true, nil
}

// refuseClear refuses what EncryptedOnly forbids.
func (s *Server) refuseClear(all []recipient) error {
	var without []string
	for _, r := range all {
		if !r.keyed {
			without = append(without, string(r.address))
		}
	}
	if !s.cfg.EncryptedOnly || len(without) == 0 {
		return nil
	}
	return problem.Permission.Errorf("no key is known for %s, and only encrypted messages may be sent", strings.Join(without, ", "))
}
