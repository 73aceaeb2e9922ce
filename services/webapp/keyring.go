package webapp

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

const (
	openPGP  = "openpgp"
	maxTypes = 16 // Keys of one user.
)

// publish sets the OpenPGP key of a user, whatever was there before:
// PUT /1/users/:id with user[public_key].
func (s *site) publish(ctx context.Context, user *record.User, armored string) error {
	addr := s.address(user.Login)
	key, err := parseKey(armored, addr)
	if err != nil {
		return err
	}
	return s.changeIdentity(ctx, addr, user.ID, func(id *record.Identity) error {
		setKey(id, openPGP, key.Armored)
		id.Fingerprint = key.Fingerprint
		return nil
	})
}

// parseKey reads an OpenPGP key that is to be published for addr.
func parseKey(armored string, addr nick.Address) (nick.Key, error) {
	key, err := nick.ParseKey(armored)
	if err != nil {
		return key, fieldError("public_key_block", problem.DocumentOf(err).Detail)
	}
	if !key.Has(addr) {
		return key, fieldError("public_key_block", "is not a key of "+string(addr))
	}
	return key, nil
}

func setKey(id *record.Identity, kind, value string) {
	if id.Keys == nil {
		id.Keys = make(map[string]record.Key)
	}
	id.Keys[kind] = record.Key{Type: kind, Value: value, Rev: newRevision()}
}

// newRevision returns URL-safe base64 of 8 random bytes (leap-protocols.md 1.8).
func newRevision() string {
	var b [8]byte
	rand.Read(b[:]) // Never fails.
	return base64.URLEncoding.EncodeToString(b[:])
}

// ring returns the keys of the caller. The key ring API is of version 2.
func (s *site) ring(r *request) (map[string]record.Key, error) {
	if r.PathValue("v") != "2" {
		return nil, problem.NotExist.Errorf("Not found.")
	}
	id, err := s.st.Identities.ByAddress(r.Context(), s.address(r.caller.user.Login))
	if err == nil && id.UserID != r.caller.user.ID {
		err = problem.NotExist
	}
	if errors.Is(err, problem.NotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return id.Keys, nil
}

// keys serves GET /2/keys.
func (s *site) keys(r *request) (any, error) {
	ring, err := s.ring(r)
	if err != nil {
		return nil, err
	}
	reply := make(map[string]bonafide.KeyringEntry)
	for kind, k := range ring {
		reply[kind] = bonafide.KeyringEntry(k)
	}
	return reply, nil
}

// key serves GET /2/keys/:type.
func (s *site) key(r *request) (any, error) {
	ring, err := s.ring(r)
	if err != nil {
		return nil, err
	}
	k, ok := ring[r.PathValue("type")]
	if !ok {
		return nil, noSuchKey(r.PathValue("type"))
	}
	return bonafide.KeyringEntry(k), nil
}

// addKey serves POST /2/keys.
func (s *site) addKey(r *request) (any, error) {
	req, err := decode(r, bonafide.DecodeKeyring)
	if err != nil {
		return nil, err
	}
	if req.Type == "" {
		return nil, missing("type")
	}
	if req.Value == "" {
		return nil, missing("value")
	}
	return s.changeRing(r, req.Type, func(id *record.Identity) error {
		if _, ok := id.Keys[req.Type]; ok {
			return unprocessable("key already exists")
		}
		if len(id.Keys) >= maxTypes {
			return unprocessable("too many keys")
		}
		return setTyped(id, req)
	})
}

// changeKey serves PATCH /2/keys/:type.
func (s *site) changeKey(r *request) (any, error) {
	req, err := decode(r, bonafide.DecodeKeyring)
	if err != nil {
		return nil, err
	}
	if req.Value == "" {
		return nil, missing("value")
	}
	req.Type = r.PathValue("type")
	return s.changeRing(r, req.Type, func(id *record.Identity) error {
		if err := checkRevision(id, req); err != nil {
			return err
		}
		return setTyped(id, req)
	})
}

// removeKey serves DELETE /2/keys/:type. The revision may stand in the body or
// in the query.
func (s *site) removeKey(r *request) (any, error) {
	req := bonafide.KeyringRequest{Rev: r.URL.Query().Get("rev")}
	if req.Rev == "" {
		var err error
		if req, err = decode(r, bonafide.DecodeKeyring); err != nil {
			return nil, err
		}
	}
	req.Type = r.PathValue("type")
	return s.changeRing(r, req.Type, func(id *record.Identity) error {
		if err := checkRevision(id, req); err != nil {
			return err
		}
		delete(id.Keys, req.Type)
		if req.Type == openPGP {
			id.Fingerprint = ""
		}
		return nil
	})
}

// changeRing carries out one change of the caller's keys.
func (s *site) changeRing(r *request, kind string, change func(*record.Identity) error) (any, error) {
	if r.PathValue("v") != "2" {
		return nil, problem.NotExist.Errorf("Not found.")
	}
	if !validType(kind) {
		return nil, unprocessable("not a type of key")
	}
	user := r.caller.user
	if err := s.changeIdentity(r.Context(), s.address(user.Login), user.ID, change); err != nil {
		return nil, err
	}
	return empty{}, nil
}

func missing(name string) error {
	return unprocessable("param is missing or the value is empty: " + name)
}

func noSuchKey(kind string) error {
	return &bodyError{http.StatusNotFound, &bonafide.ErrorBody{Error: "no such key: " + kind}}
}

// checkRevision refuses a change of a key that is not there, or that was
// changed since the caller read it.
func checkRevision(id *record.Identity, req bonafide.KeyringRequest) error {
	k, ok := id.Keys[req.Type]
	if !ok {
		return noSuchKey(req.Type)
	}
	if k.Rev != req.Rev {
		return unprocessable("wrong revision: " + req.Rev)
	}
	return nil
}

func setTyped(id *record.Identity, req bonafide.KeyringRequest) error {
	value := req.Value
	if req.Type == openPGP {
		key, err := parseKey(value, nick.Address(id.Address))
		if err != nil {
			return err
		}
		value, id.Fingerprint = key.Armored, key.Fingerprint
	}
	setKey(id, req.Type, value)
	return nil
}

// validType reports whether kind can name a type of key.
func validType(kind string) bool {
	return len(kind) <= 32 && strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}
