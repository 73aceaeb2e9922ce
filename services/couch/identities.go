package couch

import (
	"context"
	"strings"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// maxPerUser is the limit of what is looked up for one user.
const maxPerUser = 200

// Identities is the database of addresses.
type Identities struct{ db database }

// Identities returns the store of addresses.
func (d *DB) Identities() *Identities { return &Identities{d.old("identities", "address")} }

// identityDoc is an Identity as it is stored: with the id of its key.
type identityDoc struct {
	record.Identity

	KeyID string `json:"key_id,omitempty"`
}

func newIdentityDoc(i *record.Identity) identityDoc {
	doc := identityDoc{*i, keyID(i.Fingerprint)}
	doc.Type = "Identity"
	return doc
}

// keyID returns the id of the key with a fingerprint, RFC 9580, 5.5.4: the last
// 8 bytes of version 4, the first 8 of version 6.
func keyID(fingerprint string) string {
	switch len(fingerprint) {
	case 40:
		return fingerprint[24:]
	case 64:
		return fingerprint[:16]
	}
	return ""
}

// Create claims an address: of two callers one gets Exist. It sets ID, Type and
// Rev.
func (s *Identities) Create(ctx context.Context, i *record.Identity) error {
	id, ok := addressID(nick.Address(i.Address))
	if !ok {
		return problem.Invalid.Errorf("this address cannot be used")
	}
	doc := newIdentityDoc(i)
	doc.ID, doc.Rev = id, ""
	rev, err := s.db.create(ctx, id, doc)
	if err != nil {
		return err
	}
	i.ID, i.Type, i.Rev = id, doc.Type, rev
	return nil
}

// ByAddress returns the identity of an address; NotExist when there is none.
func (s *Identities) ByAddress(ctx context.Context, addr nick.Address) (*record.Identity, error) {
	id, ok := addressID(addr)
	if !ok {
		return nil, problem.NotExist.Errorf("no such address")
	}
	i := new(record.Identity)
	if err := s.db.get(ctx, id, i); err != nil {
		return nil, err
	}
	return i, nil
}

// ByUser returns the identities of a user, which may be none.
func (s *Identities) ByUser(ctx context.Context, userID string) ([]*record.Identity, error) {
	if userID == "" {
		return nil, nil
	}
	var list []*record.Identity
	q := query{Selector: map[string]any{"user_id": userID}, Limit: maxPerUser}
	err := s.db.find(ctx, q, "user", into(&list))
	return list, err
}

// ByWKD returns the identity whose local part has the hash of nick.WKDHash;
// NotExist when there is none.
func (s *Identities) ByWKD(ctx context.Context, hash string) (*record.Identity, error) {
	return s.single(ctx, "wkd", "wkd", hash)
}

// ByFingerprint returns the identity whose key has a fingerprint (40 or 64
// lower-case hex digits) or an id (16); NotExist when there is none, or more
// than one.
func (s *Identities) ByFingerprint(ctx context.Context, fpr string) (*record.Identity, error) {
	if len(fpr) == 16 {
		return s.single(ctx, "key_id", "key", fpr)
	}
	return s.single(ctx, "fingerprint", "fingerprint", fpr)
}

// single returns the one identity whose member has the value.
func (s *Identities) single(ctx context.Context, member, index, value string) (*record.Identity, error) {
	if value == "" || strings.Trim(value, "0123456789abcdefghijklmnopqrstuvwxyz") != "" {
		return nil, problem.NotExist.Errorf("no such address")
	}
	var list []*record.Identity
	q := query{Selector: map[string]any{member: value}, Limit: 2}
	if err := s.db.find(ctx, q, index, into(&list)); err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, problem.NotExist.Errorf("no such address")
	}
	return list[0], nil
}

// Update stores an identity that was read before and sets its Rev; Stale when
// it was changed since.
func (s *Identities) Update(ctx context.Context, i *record.Identity) error {
	rev, err := s.db.update(ctx, i.ID, newIdentityDoc(i))
	if err == nil {
		i.Rev = rev
	}
	return err
}

// Delete frees an address that was read before; Stale when it was changed
// since. An address that is free already is no error.
func (s *Identities) Delete(ctx context.Context, i *record.Identity) error {
	return s.db.remove(ctx, i.ID, i.Rev)
}
