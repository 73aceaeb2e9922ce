package soledad

import (
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/u1db"
)

// Header opens what the server has of a document, as a test's view into the
// seal.
func (k *Keyring) Header(user string, d u1db.Document) (envelope.DocHeader, error) {
	h, _, err := envelope.OpenDoc(d.Content, k.key, envelope.AD{User: user, Database: "user-" + user, ID: d.ID, Rev: d.Rev})
	return h, err
}
