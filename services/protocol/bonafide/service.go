package bonafide

import (
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// A ServiceResponse is the answer to GET /1/service: what the user's service
// level gives.
type ServiceResponse struct {
	Name         string   `json:"name"`
	Description  string   `json:"description"`
	EIPRateLimit bool     `json:"eip_rate_limit"`
	Storage      int64    `json:"storage,omitempty"` // MB.
	Services     []string `json:"services,omitempty"`
}

// A Message is one element of the answer to GET /1/messages.
type Message struct {
	ID     string `json:"id"`
	Locale string `json:"locale"`
	Text   string `json:"text"` // HTML.
}

// A KeyringEntry is one public key of a user, in answers of the key ring API
// (leap-protocols.md 1.8).
type KeyringEntry struct {
	Type  string `json:"type"`
	Value string `json:"value"`
	Rev   string `json:"rev"`
}

// A KeyringRequest is POST, PATCH or DELETE /2/keys. Value is empty in a
// deletion, Rev in a creation.
type KeyringRequest struct {
	Type, Value, Rev string
}

// DecodeKeyring reads a KeyringRequest. The type may also stand in the path;
// then it is empty here.
func DecodeKeyring(contentType string, body []byte) (KeyringRequest, error) {
	f, err := decode(contentType, body)
	if err != nil {
		return KeyringRequest{}, err
	}
	r := KeyringRequest{Type: f["type"], Value: f["value"], Rev: f["rev"]}
	if len(r.Type) > 64 || len(r.Value) > nick.MaxKey || len(r.Rev) > 64 {
		return KeyringRequest{}, problem.Invalid.Errorf("a member is too long")
	}
	return r, nil
}

// MXKeys is the answer to GET /2/mx-keys: the public keys with which the
// provider's MX nodes sign the envelopes of incoming mail.
type MXKeys struct {
	OpenPGP []string `json:"openpgp"` // Armored.
}
