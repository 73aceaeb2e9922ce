package keymanager

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"leap.example/client/soledad"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

const version = 1 // Of both kinds of documents.

// A pin is what is remembered of a correspondent's key.
type pin struct {
	Version     int          `json:"v"`
	Address     nick.Address `json:"address"`
	Fingerprint string       `json:"fingerprint"`
	Armored     string       `json:"armored"`
	Updated     time.Time    `json:"updated"` // nick.Key.Updated.
	Expires     time.Time    `json:"expires,omitzero"`
	Level       nick.Level   `json:"level"` // How it came.
	Encrypted   bool         `json:"encrypted,omitempty"`
	Verified    bool         `json:"verified,omitempty"`
	Revoked     bool         `json:"revoked,omitempty"`
	Refused     string       `json:"refused,omitempty"`
}

func newPin(a nick.Address, key nick.Key, level nick.Level) pin {
	return pin{
		Version: version, Address: a, Fingerprint: key.Fingerprint, Armored: key.Armored,
		Updated: key.Updated, Expires: key.Expires, Level: level,
	}
}

// level is how far the key is believed today: use both ways counts, but it
// does not protect an expired key from being replaced as its origin would.
func (p pin) level() nick.Level {
	if p.Encrypted && p.Verified {
		return max(p.Level, nick.UsedBoth)
	}
	return p.Level
}

// rule is p as the upgrade rule sees it.
func (p pin) rule() nick.Pin {
	return nick.Pin{
		Fingerprint: p.Fingerprint, Level: p.Level, Expires: p.Expires, Encrypted: p.Encrypted, Verified: p.Verified,
	}
}

// usable reports whether the key can be encrypted to.
func (p pin) usable(now time.Time) bool {
	return !p.Revoked && (p.Expires.IsZero() || now.Before(p.Expires))
}

func pinID(a nick.Address) string { return pinType + "/" + string(a) }

func parsePin(d soledad.Doc) (pin, error) {
	var p pin
	if json.Unmarshal(d.Body, &p) != nil || p.Version != version || d.ID != pinID(p.Address) || p.Fingerprint == "" {
		return pin{}, problem.Invalid.Errorf("malformed document of a key")
	}
	return p, nil
}

// pinOf returns the pin of a; NotExist when there is none.
func pinOf(tx *soledad.Tx, a nick.Address) (pin, error) {
	d, err := tx.Get(pinID(a))
	if err != nil {
		return pin{}, err
	}
	return parsePin(d)
}

// put stores p if it differs from what is stored.
func (p pin) put(tx *soledad.Tx) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return tx.Put(soledad.Doc{ID: pinID(p.Address), Type: pinType, Body: body})
}

// index is the hook of pins: it notes which address signs under a key id.
func index(tx *soledad.Tx, d soledad.Doc) error {
	if d.Deleted {
		return nil // Whoever follows the index looks at the pin.
	}
	p, err := parsePin(d)
	if err != nil {
		return err
	}
	e, err := entity(p.Armored)
	if err != nil {
		return err
	}
	for _, id := range signingIDs(e) {
		if err := tx.LocalPut(indexBucket, id, []byte(p.Address)); err != nil {
			return err
		}
	}
	return nil
}

// mergePins is the rule for two devices that changed one pin: the better
// vouched-for key wins, and a key that both have keeps all that either knows
// of it. The result does not depend on which device asks.
func mergePins(mine, theirs soledad.Doc) (soledad.Doc, error) {
	a, errA := parsePin(mine)
	b, errB := parsePin(theirs)
	switch { // A deleted or damaged document is weaker than any.
	case mine.Deleted && theirs.Deleted:
		return theirs, nil
	case errA != nil && errB != nil:
		return soledad.Doc{}, errors.Join(errA, errB)
	case errA != nil:
		return theirs, nil
	case errB != nil:
		return mine, nil
	}
	m := mergePin(a, b)
	body, err := json.Marshal(m)
	if err != nil {
		return soledad.Doc{}, err
	}
	return soledad.Doc{ID: mine.ID, Type: pinType, Body: body}, nil
}

func mergePin(a, b pin) pin {
	if a.Fingerprint != b.Fingerprint {
		if weaker(a, b) {
			a, b = b, a
		}
		a.Refused = cmp.Or(a.Refused, b.Fingerprint)
		return a
	}
	// Of one key the newer copy counts.
	if c := a.Updated.Compare(b.Updated); c < 0 || c == 0 && a.Armored < b.Armored {
		a, b = b, a
	}
	a.Level = max(a.Level, b.Level)
	a.Encrypted = a.Encrypted || b.Encrypted
	a.Verified = a.Verified || b.Verified
	a.Revoked = a.Revoked || b.Revoked
	a.Refused = max(a.Refused, b.Refused)
	return a
}

// weaker orders pins of different keys.
func weaker(a, b pin) bool {
	rank := func(p pin) []int {
		return []int{boolInt(!p.Revoked), int(p.level()), boolInt(p.Verified), boolInt(p.Encrypted)}
	}
	return cmp.Or(slices.Compare(rank(a), rank(b)), cmp.Compare(b.Fingerprint, a.Fingerprint)) < 0
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
