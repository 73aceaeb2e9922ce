package update

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"leap.example/appliance/durable"
)

// Files in the updater's directory. Beside them are those of package tufclient.
const (
	stateFile  = "state.json"
	secretFile = "secret"
	secretSize = 32 // Bytes.
)

// A state is what has to outlive a power cut.
type state struct {
	// Armed is the release that was, or is about to be, written to be tried.
	Armed string `json:"armed,omitempty"`
	// Turn is that this node may have the turn: it asks before it believes so.
	Turn bool `json:"turn,omitempty"`
	// Back is the release that this node went back from last, while the turn does
	// not say so yet, and why.
	Back   string `json:"back,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Again is a release that an operator wants to be tried though it is bad.
	Again string `json:"again,omitempty"`
}

// A disk is how small files are kept: whole, and durable when it returns. Tests have
// one whose power fails.
type disk func(path string, data []byte) error

func onDisk(path string, data []byte) error { return durable.WriteFile(path, data, 0o600) }

// load returns the state. It is read once: nobody else writes it.
func (u *Updater) load() (s state, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.kept == nil {
		if s, err = u.read(); err != nil {
			return s, err
		}
		u.kept = &s
	}
	return *u.kept, nil
}

// read reads the state. A file that is damaged is none: what it said is found out
// from the boot partition and the database, or tried again.
func (u *Updater) read() (s state, err error) {
	text, err := os.ReadFile(filepath.Join(u.cfg.Dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if json.Unmarshal(text, &s) != nil {
		return state{Turn: true}, nil
	}
	return s, nil
}

func (u *Updater) keep(s state) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	err = u.disk(filepath.Join(u.cfg.Dir, stateFile), text)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		u.kept = nil // Whether it is there all the same, reading finds out.
		return fmt.Errorf("keeping the state of the update: %w", err)
	}
	u.kept = &s
	return nil
}

// secret is what places the node in waves. It is made once.
func (u *Updater) secret() ([]byte, error) {
	path := filepath.Join(u.cfg.Dir, secretFile)
	secret, err := os.ReadFile(path)
	if err == nil && len(secret) == secretSize {
		return secret, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	secret = make([]byte, secretSize)
	rand.Read(secret) // Never fails (crypto/rand).
	return secret, u.disk(path, secret)
}
