package mailstore

import (
	"encoding/binary"
	"encoding/json"
	"strings"

	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

// MaxMessage is the size of the largest message that is kept, bytes.
const MaxMessage = 50 << 20

const messageVersion = 1

// A State is what is known of the protection that a message arrived with.
type State struct {
	Signature  string // As in X-Leap-Signature; empty: unsigned.
	Encryption string // As in X-Leap-Encryption; empty: none.
}

// A body is the content of a "msg" document: version u8 | length u32 BE of the
// description | description, JSON | the message.
type body struct {
	Date       int64  `json:"date"` // Internal date, Unix time.
	Signature  string `json:"signature,omitempty"`
	Encryption string `json:"encryption,omitempty"`

	raw []byte
}

func (b body) encode() ([]byte, error) {
	desc, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	data := make([]byte, 0, 5+len(desc)+len(b.raw))
	data = append(data, messageVersion)
	data = binary.BigEndian.AppendUint32(data, uint32(len(desc)))
	data = append(data, desc...)
	return append(data, b.raw...), nil
}

func decodeBody(data []byte) (body, error) {
	if len(data) < 5 || data[0] != messageVersion {
		return body{}, problem.Invalid.Errorf("message document of an unknown version")
	}
	n := binary.BigEndian.Uint32(data[1:])
	data = data[5:]
	if int64(n) > int64(len(data)) {
		return body{}, problem.Invalid.Errorf("message document is cut off")
	}
	var b body
	if err := json.Unmarshal(data[:n], &b); err != nil {
		return body{}, problem.Invalid.Errorf("message document: %w", err)
	}
	b.raw = data[n:]
	return b, nil
}

// mergeMessages chooses between two versions of one message, which two devices
// wrote that took it from the incoming queue at once: the one whose signature
// was verified, else one that was decrypted, else the greater bytes.
func mergeMessages(mine, theirs soledad.Doc) (soledad.Doc, error) {
	if d, ok := mergeDeleted(mine, theirs); ok {
		return d, nil
	}
	rank := func(d soledad.Doc) int {
		b, err := decodeBody(d.Body)
		switch {
		case err != nil:
			return 0
		case strings.HasPrefix(b.Signature, "valid"):
			return 3
		case b.Encryption != "":
			return 2
		}
		return 1
	}
	if a, b := rank(mine), rank(theirs); a > b || a == b && string(mine.Body) > string(theirs.Body) {
		return mine, nil
	}
	return theirs, nil
}

// mergeDeleted settles conflicts with a deletion: what is there stays. A
// document is deleted only when the message was expunged long ago.
func mergeDeleted(mine, theirs soledad.Doc) (soledad.Doc, bool) {
	switch {
	case mine.Deleted:
		return theirs, true
	case theirs.Deleted:
		return mine, true
	}
	return soledad.Doc{}, false
}
