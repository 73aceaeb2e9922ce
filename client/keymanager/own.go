package keymanager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"leap.example/client/soledad"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

const (
	ownLife   = 2 * 365 * 24 * time.Hour // Of a new key, and of an extension.
	ownExtend = 60 * 24 * time.Hour      // What is left when the key is extended.
)

// An OwnKey is the account's active key. It holds the private key.
type OwnKey struct {
	key     nick.Key
	private []byte
}

// Key returns the public key.
func (o *OwnKey) Key() nick.Key { return o.key }

// Public returns the public key, armored.
func (o *OwnKey) Public() string { return o.key.Armored }

// Fingerprint returns the fingerprint in lower-case hex.
func (o *OwnKey) Fingerprint() string { return o.key.Fingerprint }

// A secret is the document with the own keys.
type secret struct {
	Version int        `json:"v"`
	Active  string     `json:"active"` // Fingerprint.
	Keys    []ownSaved `json:"keys"`   // Sorted by fingerprint.
}

type ownSaved struct {
	Fingerprint string    `json:"fingerprint"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
	Private     []byte    `json:"private"` // OpenPGP, binary, without pass phrase.
}

func parseSecret(d soledad.Doc) (secret, error) {
	var s secret
	if json.Unmarshal(d.Body, &s) != nil || s.Version != version || s.find(s.Active) == nil {
		return secret{}, problem.Invalid.Errorf("malformed document of the own keys")
	}
	return s, nil
}

func (s secret) find(fingerprint string) *ownSaved {
	for i := range s.Keys {
		if s.Keys[i].Fingerprint == fingerprint {
			return &s.Keys[i]
		}
	}
	return nil
}

func (k *Keys) secretID() string { return secretType + "/" + string(k.address) }

// secrets returns the document with the own keys; NotExist when there is none.
func (k *Keys) secrets(ctx context.Context) (s secret, err error) {
	err = k.store.View(ctx, func(tx *soledad.Tx) error {
		d, err := tx.Get(k.secretID())
		if err == nil {
			s, err = parseSecret(d)
		}
		return err
	})
	return s, err
}

func (k *Keys) putSecret(ctx context.Context, s secret) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return k.store.Update(ctx, func(tx *soledad.Tx) error {
		return tx.Put(soledad.Doc{ID: k.secretID(), Type: secretType, Body: body})
	})
}

// private returns all own private keys, one after the other.
func (k *Keys) private(ctx context.Context) ([]byte, error) {
	s, err := k.secrets(ctx)
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, key := range s.Keys {
		all = append(all, key.Private...)
	}
	return all, nil
}

func (k *Keys) own(ctx context.Context) (*OwnKey, error) {
	s, err := k.secrets(ctx)
	if err != nil {
		return nil, err
	}
	return parseOwn(s.find(s.Active).Private)
}

func parseOwn(private []byte) (*OwnKey, error) {
	e, err := binaryEntity(private)
	if err != nil {
		return nil, err
	}
	var public bytes.Buffer
	if err := e.Serialize(&public); err != nil {
		return nil, err
	}
	key, err := nick.ParseKeyBinary(public.Bytes())
	return &OwnKey{key: key, private: private}, err
}

// Own returns the account's key, extended if it is about to expire. NotExist
// when there is none: sync first, then Create.
func (k *Keys) Own(ctx context.Context) (*OwnKey, error) {
	own, err := k.own(ctx)
	if err != nil || own.key.Expires.IsZero() || own.key.Expires.Sub(k.now()) >= ownExtend {
		return own, err
	}
	e, err := binaryEntity(own.private)
	if err != nil {
		return nil, err
	}
	if err := extend(e, k.config()); err != nil {
		return nil, err
	}
	s, err := k.secrets(ctx)
	if err != nil {
		return nil, err
	}
	return k.save(ctx, s, e)
}

// extend makes e valid for ownLife from now (leap-protocols.md 8.7).
func extend(e *openpgp.Entity, cfg *packet.Config) error {
	life := uint32(cfg.Now().Add(ownLife).Sub(e.PrimaryKey.CreationTime) / time.Second)
	for _, id := range e.Identities {
		sig, err := id.LatestValidSelfCertification(time.Time{}, cfg)
		if err != nil {
			return err
		}
		sig.CreationTime, sig.KeyLifetimeSecs = cfg.Now(), &life
		if err := sig.SignUserId(id.Name, e.PrimaryKey, e.PrivateKey, cfg); err != nil {
			return err
		}
	}
	return nil
}

// Create returns the account's key, and makes it if there is none. The caller
// has synchronised before, so that no other device made one.
func (k *Keys) Create(ctx context.Context) (*OwnKey, error) {
	k.creating.Lock()
	defer k.creating.Unlock()
	if own, err := k.Own(ctx); !notExist(err) {
		return own, err
	}
	cfg := k.config()
	cfg.KeyLifetimeSecs = uint32(ownLife / time.Second)
	e, err := openpgp.NewEntity("", "", string(k.address), cfg)
	if err != nil {
		return nil, err
	}
	return k.save(ctx, secret{Version: version}, e)
}

// save stores e as the active key beside the others in s.
func (k *Keys) save(ctx context.Context, s secret, e *openpgp.Entity) (*OwnKey, error) {
	var b bytes.Buffer
	if err := e.SerializePrivateWithoutSigning(&b, nil); err != nil {
		return nil, err
	}
	own, err := parseOwn(b.Bytes())
	if err != nil {
		return nil, err
	}
	saved := ownSaved{own.Fingerprint(), own.key.Created, own.key.Updated, own.private}
	if old := s.find(saved.Fingerprint); old != nil {
		*old = saved
	} else {
		s.Keys = append(s.Keys, saved)
	}
	s.Active = saved.Fingerprint
	return own, k.putSecret(ctx, s)
}

// mergeSecrets is the rule for two devices that both made or extended a key:
// all keys are kept, of each its newest form, and the oldest is active.
func mergeSecrets(mine, theirs soledad.Doc) (soledad.Doc, error) {
	a, errA := parseSecret(mine)
	b, errB := parseSecret(theirs)
	switch {
	case errA != nil && errB != nil:
		return soledad.Doc{}, errors.Join(errA, errB)
	case errA != nil:
		return theirs, nil
	case errB != nil:
		return mine, nil
	}
	m := secret{Version: version, Keys: slices.Clone(a.Keys)}
	for _, key := range b.Keys {
		switch have := m.find(key.Fingerprint); {
		case have == nil:
			m.Keys = append(m.Keys, key)
		case newer(key, *have):
			*have = key
		}
	}
	slices.SortFunc(m.Keys, func(x, y ownSaved) int { return bytes.Compare([]byte(x.Fingerprint), []byte(y.Fingerprint)) })
	m.Active = slices.MinFunc(m.Keys, func(x, y ownSaved) int { return x.Created.Compare(y.Created) }).Fingerprint
	body, err := json.Marshal(m)
	if err != nil {
		return soledad.Doc{}, err
	}
	return soledad.Doc{ID: mine.ID, Type: secretType, Body: body}, nil
}

func newer(a, b ownSaved) bool {
	c := a.Updated.Compare(b.Updated)
	return c > 0 || c == 0 && bytes.Compare(a.Private, b.Private) > 0
}

// A Publisher makes a key the public key of the account; session.Session is
// one.
type Publisher interface {
	PublishKey(ctx context.Context, armored string) error
}

// Publish hands the own key to p unless the provider already answers with it.
func (k *Keys) Publish(ctx context.Context, p Publisher) error {
	own, err := k.Own(ctx)
	if err != nil {
		return err
	}
	public, _, err := k.lookup.Lookup(ctx, k.address)
	if err == nil && public.Armored == own.Public() {
		return nil
	}
	return p.PublishKey(ctx, own.Public())
}

func notExist(err error) bool { return errors.Is(err, problem.NotExist) }
