package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A State is what is known of the updates of a prefix: the file state.json. It
// has no secrets: all users of the computer may read it.
type State struct {
	Schema int     `json:"schema"` // 1.
	Looked Looked  `json:"looked"`
	Trial  *Trial  `json:"trial,omitempty"`
	Bad    []Bad   `json:"bad,omitempty"`
	Log    []Event `json:"log,omitempty"` // The newest last.
}

// Looked is what the last look at the repository has shown.
type Looked struct {
	At      time.Time `json:"at,omitzero"`      // Zero: there was none.
	Source  string    `json:"source,omitempty"` // That answered.
	Root    int64     `json:"root,omitempty"`   // The version of the trusted root.
	Expires time.Time `json:"expires,omitzero"` // From then on nothing is installed.
	Offer   *Offer    `json:"offer,omitempty"`  // Nil: nothing that this computer can take.
	Held    string    `json:"held,omitempty"`   // Why a newer release is not offered.
}

// An Offer is a release that can be installed.
type Offer struct {
	Version string    `json:"version"`
	Length  int64     `json:"length"`        // Bytes.
	SHA256  string    `json:"sha256"`        // Hex.
	Signers []string  `json:"signers"`       // Roles that vouch for it, the one that lists it last.
	Due     time.Time `json:"due,omitzero"`  // When it is this computer's turn; zero: at once.
	Bad     string    `json:"bad,omitempty"` // Why it was given up here.
}

// A Trial is a change of the version that is not decided.
type Trial struct {
	From   string    `json:"from"`
	To     string    `json:"to"`
	Begun  time.Time `json:"begun"`
	Came   string    `json:"came,omitempty"`   // How the program did.
	Parts  []string  `json:"parts,omitempty"`  // That ran, and so are asked.
	Failed string    `json:"failed,omitempty"` // Why it is given up.
}

// A Bad version did not work here.
type Bad struct {
	Version string    `json:"version"`
	At      time.Time `json:"at"`
	Why     string    `json:"why"`
}

// Kinds of events.
const (
	EventInstalled = "installed" // A version has taken the place of another.
	EventBack      = "back"      // It did not work, and the one before is back.
	EventRefused   = "refused"   // It was not what it should be.
	EventFound     = "found"     // A release is there to be had.
)

// An Event is one line of the log.
type Event struct {
	At      time.Time `json:"at"`
	What    string    `json:"what"`
	Version string    `json:"version"`
	Detail  string    `json:"detail,omitempty"`
}

const (
	stateSchema = 1
	stateFile   = "state.json"
	maxLog      = 100 // Events; older ones are forgotten.
	maxBad      = 20
	maxWhy      = 500 // Bytes of a reason.
)

// ErrState is that of a state that cannot be read, wrapped.
var ErrState = errors.New("what is known of updates cannot be read: remove the file; which versions were bad is then forgotten")

// ReadState reads the state in a directory. Where there is none it is empty.
func ReadState(dir string) (State, error) {
	path := filepath.Join(dir, stateFile)
	data, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{Schema: stateSchema}, nil
	}
	if err != nil {
		return State{}, err
	}
	s, err := parseState(data)
	if err != nil {
		return State{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func parseState(data []byte) (State, error) {
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, fmt.Errorf("%w (%w)", ErrState, err)
	}
	if s.Schema < 1 || s.Schema > stateSchema {
		return State{}, fmt.Errorf("%w (schema %d)", ErrState, s.Schema)
	}
	return s, nil
}

// save makes the state durable.
func (u *Updater) save(s *State) error {
	s.Schema = stateSchema
	s.Log = s.Log[max(0, len(s.Log)-maxLog):]
	s.Bad = s.Bad[max(0, len(s.Bad)-maxBad):]
	data, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return replace(u.disk, filepath.Join(u.cfg.Dir, stateFile), data, 0o644)
}

func (u *Updater) note(s *State, what, version, detail string) {
	s.Log = append(s.Log, Event{At: u.now(), What: what, Version: version, Detail: short(detail)})
}

func (u *Updater) giveUp(s *State, version, why string) {
	s.forget(version)
	s.Bad = append(s.Bad, Bad{Version: version, At: u.now(), Why: short(why)})
}

// forget has a bad version be tried again.
func (s *State) forget(version string) {
	s.Bad = slices.DeleteFunc(s.Bad, func(b Bad) bool { return b.Version == version })
}

// bad returns why a version was given up, or nothing.
func (s *State) bad(version string) string {
	for _, b := range s.Bad {
		if b.Version == version {
			return b.Why
		}
	}
	return ""
}

func short(text string) string { return Cut(text, maxWhy) }

// Cut makes a text fit into so many bytes, and says so if it was longer.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(more)], "") + more
}

// more stands for what was cut away.
const more = "…"
