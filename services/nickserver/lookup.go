package nickserver

import (
	"context"
	"strings"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// A found key is what a lookup ends with.
type found struct {
	address nick.Address // Whose it is.
	armored string
}

var errNoKey = problem.NotExist.Errorf("no key")

// byAddress returns the key of addr, of whatever domain.
func (s *Server) byAddress(ctx context.Context, addr nick.Address) (found, error) {
	if addr.Domain() != s.cfg.Domain {
		if s.foreign == nil {
			return found{}, errNoKey
		}
		armored, err := s.foreign.Key(ctx, addr)
		return found{addr, armored}, err
	}
	id, err := s.ids.ByAddress(ctx, addr.Base())
	if err != nil {
		return found{}, err
	}
	f, err := keyOf(id)
	f.address = addr // As it was asked, with its suffix.
	return f, err
}

// byFingerprint returns the local key with a fingerprint.
func (s *Server) byFingerprint(ctx context.Context, fpr string) (found, error) {
	id, err := s.ids.ByFingerprint(ctx, fpr)
	if err != nil {
		return found{}, err
	}
	return keyOf(id)
}

// byHash returns the local key under a hash of the Web Key Directory.
func (s *Server) byHash(ctx context.Context, hash string) (found, error) {
	if len(hash) != 32 || strings.Trim(hash, "ybndrfg8ejkmcpqxot1uwisza345h769") != "" {
		return found{}, errNoKey
	}
	id, err := s.ids.ByWKD(ctx, hash)
	if err != nil {
		return found{}, err
	}
	return keyOf(id)
}

// keyOf decides whether the key of an identity is given out.
func keyOf(id *record.Identity) (found, error) {
	key := id.Keys["openpgp"].Value
	if !id.Enabled || id.UserID == "" || key == "" {
		return found{}, errNoKey
	}
	return found{nick.Address(id.Address), key}, nil
}

// A search is what an HKP client looks for: one of an address, a fingerprint,
// a key id.
type search struct {
	address nick.Address
	fpr     string // Lower-case hex: 40 digits (version 4), 64 (version 6), or 16 of a key id.
}

// parseSearch reads the search parameter of HKP. A text in no known form is
// problem.Invalid, a short key id problem.NotExist.
func parseSearch(s string) (search, error) {
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		fpr := strings.ToLower(digits)
		switch {
		case strings.Trim(fpr, "0123456789abcdef") != "":
		case len(fpr) == 40 || len(fpr) == 64 || len(fpr) == 16:
			return search{fpr: fpr}, nil
		case len(fpr) == 8 || len(fpr) == 32: // Short, or of version 3: anybody can make a key that has it.
			return search{}, errNoKey
		}
		return search{}, problem.Invalid.Errorf("malformed fingerprint")
	}
	addr, err := nick.ParseAddress(s)
	return search{address: addr}, err
}

func (s *Server) find(ctx context.Context, q search) (found, error) {
	if q.fpr != "" {
		return s.byFingerprint(ctx, q.fpr)
	}
	return s.byAddress(ctx, q.address)
}
