package play

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// A life is what a story that stays up leaves for the next start: the
// passwords of its people. It is a file beside the homes that they open.
type life struct {
	Version int    `json:"version"` // 1.
	Alice   string `json:"alice_password"`
	Bob     string `json:"bob_password"`
}

func (s *Story) lifeFile() string { return filepath.Join(s.Dir, "story.json") }

// Save notes how to open the accounts again.
func (s *Story) Save() error {
	data, err := json.Marshal(life{Version: 1, Alice: s.alice.password, Bob: s.bob.password})
	if err != nil {
		return err
	}
	return os.WriteFile(s.lifeFile(), data, 0o600)
}

// Clear removes what a story left that was interrupted half way: its people
// have accounts whose passwords nobody knows any more.
func (s *Story) Clear() error {
	for _, name := range []string{"alice", "alice-leap", "alice-tablet", "bob", "bob-phone", "mallory"} {
		if err := os.RemoveAll(filepath.Join(s.Dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// Resume reports whether a story was lived here to its end before, and takes
// its words.
func (s *Story) Resume() bool {
	data, err := os.ReadFile(s.lifeFile())
	var l life
	if err != nil || json.Unmarshal(data, &l) != nil || l.Version != 1 {
		return false
	}
	s.words = words{aliceNewPassword: l.Alice, bobPassword: l.Bob}
	return true
}

// Reopen wakes the devices of a story that was lived before.
func (s *Story) Reopen() error {
	for _, d := range []struct {
		p               **person
		name, login, pw string
	}{
		{&s.alice, "alice", "alice", s.words.aliceNewPassword},
		{&s.bob, "bob", "bob", s.words.bobPassword},
		{&s.phone, "bob-phone", "bob", s.words.bobPassword},
	} {
		p, err := s.newPerson(d.name, d.login, d.pw)
		if err != nil {
			return err
		}
		*d.p = p
		if _, err := p.leapc(p.password+"\n", "login"); err != nil {
			return err
		}
		if err := p.settings(); err != nil {
			return err
		}
	}
	return nil
}
