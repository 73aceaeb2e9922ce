package lab

import (
	"encoding/json"
	"os"
	"sync/atomic"
	"time"
)

// Weather is how the machine of a node misbehaves.
type Weather struct {
	Sync  time.Duration // What each sync of the disk takes more than it should.
	Clock time.Duration // By how much the time of day is wrong.
}

// ReadWeather reads what LaunchIn and Change have written.
func ReadWeather(file string) (w Weather, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return w, err
	}
	return w, json.Unmarshal(data, &w)
}

// Shared is weather that several goroutines look at. The zero value is good
// weather.
type Shared struct{ p atomic.Pointer[Weather] }

// Load returns it.
func (s *Shared) Load() Weather {
	if w := s.p.Load(); w != nil {
		return *w
	}
	return Weather{}
}

// Store replaces it.
func (s *Shared) Store(w Weather) { s.p.Store(&w) }

// LaunchIn starts the process on a machine that misbehaves. Options.Foul must be
// set.
func (n *Node) LaunchIn(w Weather) error {
	if err := n.Change(w); err != nil {
		return err
	}
	return n.exec(n.foul, "--config", n.Config(), "--weather", n.file("weather"))
}

// Change changes the weather of a node that LaunchIn has started.
func (n *Node) Change(w Weather) error {
	data, err := json.Marshal(w)
	if err != nil {
		return err
	}
	if err := os.WriteFile(n.file("weather.new"), data, 0o600); err != nil {
		return err
	}
	return os.Rename(n.file("weather.new"), n.file("weather"))
}
