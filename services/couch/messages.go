package couch

import (
	"context"
	"encoding/json"
	"slices"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Messages is the database of notices to users.
type Messages struct{ db database }

// Messages returns the store of notices.
func (d *DB) Messages() *Messages { return &Messages{d.old("messages", "message")} }

// Create stores a notice and sets its Rev, and its ID if it has none; Exist
// when the id is used.
func (s *Messages) Create(ctx context.Context, m *record.Message) error {
	doc := *m
	if doc.ID == "" {
		doc.ID = randomHex(16)
	}
	if !safeID(doc.ID) {
		return problem.Invalid.Errorf("malformed message id")
	}
	doc.Type, doc.Rev = "Message", ""
	rev, err := s.db.create(ctx, doc.ID, doc)
	if err != nil {
		return err
	}
	doc.Rev = rev
	*m = doc
	return nil
}

// ForUser returns the notices to a user and those to everybody, by id. There
// are few notices: no more than the first 1000 are looked at.
func (s *Messages) ForUser(ctx context.Context, userID string) ([]record.Message, error) {
	docs, err := s.db.list(ctx, span{limit: maxDocuments})
	if err != nil {
		return nil, err
	}
	var out []record.Message
	for _, doc := range docs {
		var m record.Message
		if err := json.Unmarshal(doc, &m); err != nil {
			return nil, err
		}
		if m.Type == "Message" && (len(m.UserIDs) == 0 || slices.Contains(m.UserIDs, userID)) {
			out = append(out, m)
		}
	}
	return out, nil
}
