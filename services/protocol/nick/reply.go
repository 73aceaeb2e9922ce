package nick

import (
	"encoding/json"

	"leap.example/services/protocol/problem"
)

// A Reply is the answer to a lookup, and the only form of it: a nickserver
// gives one key or none.
type Reply struct {
	Address *Address `json:"address"` // Null in an answer to a fingerprint.
	OpenPGP string   `json:"openpgp"` // Armored transferable public key.
}

// ParseReply reads an answer of at most twice MaxKey bytes. One that is
// malformed is Invalid; one without a key is NotExist. The key itself is not
// looked at.
func ParseReply(body []byte) (Reply, error) {
	var wire struct {
		Address *string `json:"address"`
		OpenPGP string  `json:"openpgp"`
	}
	if len(body) > 2*MaxKey || json.Unmarshal(body, &wire) != nil {
		return Reply{}, problem.Invalid.Errorf("malformed nickserver answer")
	}
	if wire.OpenPGP == "" {
		return Reply{}, problem.NotExist.Errorf("the nickserver knows no key")
	}
	r := Reply{OpenPGP: wire.OpenPGP}
	if wire.Address != nil {
		a, err := ParseAddress(*wire.Address)
		if err != nil {
			return Reply{}, err
		}
		r.Address = &a
	}
	return r, nil
}
