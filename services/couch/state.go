package couch

import (
	"context"

	"leap.example/services/protocol/problem"
)

// A State keeps small notes of a service, in its database but beside its
// documents (_local): they are not replicated and in no feed.
type State struct {
	db      database
	service string
}

// State returns the notes of a service, which is named as its account.
func (d *DB) State(service string) *State {
	home, ok := map[string]string{
		"ca": "client_certificates", "relay": "outbound", "soledad": "shared", "webapp": "messages",
		"nickserver": "identities", "leap_mx": "identities",
	}[service]
	if !ok {
		home = "users" // Of server administrators.
	}
	return &State{d.in(home, "note"), service}
}

type stateDoc struct {
	Rev   string `json:"_rev,omitempty"`
	Value string `json:"value"`
}

// Get returns the value last set; "" when there is none.
func (s *State) Get(ctx context.Context, key string) (string, error) {
	id, err := s.id(key)
	if err != nil {
		return "", err
	}
	var doc stateDoc
	err = s.db.get(ctx, id, &doc)
	if problem.KindOf(err) == problem.NotExist {
		return "", nil
	}
	return doc.Value, err
}

// Set stores a value.
func (s *State) Set(ctx context.Context, key, value string) error {
	id, err := s.id(key)
	if err != nil {
		return err
	}
	return s.db.note(ctx, id, stateDoc{Value: value})
}

func (s *State) id(key string) (string, error) {
	if !plainName(key) || !plainName(s.service) {
		return "", problem.Invalid.Errorf("malformed key of a note")
	}
	return "_local/state:" + s.service + ":" + key, nil
}
