package oneshot

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"text/template"

	"leap.example/client/unit"
	"leap.example/client/update"
)

//go:embed systemd
var systemd embed.FS

// Names of the units, and where users ask.
const (
	Service = "leap-update.service"
	Listen  = "leap-update.socket"
	Timer   = "leap-update.timer"
	Socket  = "/run/leap-update.sock"
)

// units are what is installed, and what starts each.
var units = []struct{ name, target string }{{Service, ""}, {Listen, "sockets.target"}, {Timer, "timers.target"}}

// Install says what the units are made of.
type Install struct {
	Dir    string        // Of units: /etc/systemd/system.
	Prefix update.Prefix // That is kept up to date.
}

// Program is what the unit starts.
func (i Install) Program() string { return i.Prefix.Start() }

// Write writes the units and has systemd start socket and timer with the machine.
// Invalid: somebody else than root could replace the program.
func (i Install) Write() error {
	if err := unit.Owned(i.Program()); err != nil {
		return err
	}
	for _, u := range units {
		text, err := i.text(u.name)
		if err != nil {
			return err
		}
		if err := unit.Write(i.Dir, u.name, u.target, text); err != nil {
			return err
		}
	}
	return nil
}

// Remove removes the units.
func (i Install) Remove() error {
	var err error
	for _, u := range units {
		err = errors.Join(err, unit.Remove(i.Dir, u.name, u.target))
	}
	return err
}

func (i Install) text(name string) ([]byte, error) {
	t, err := template.ParseFS(systemd, "systemd/"+name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, i); err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	return b.Bytes(), nil
}
