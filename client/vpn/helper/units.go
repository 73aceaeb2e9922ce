package helper

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"leap.example/client/unit"
)

//go:embed systemd
var systemd embed.FS

// Service and Block are the names of the units.
const (
	Service = "leap-vpn-helper.service"
	Block   = "leap-vpn-block.service"
)

// targets are those that start the units.
var targets = map[string]string{Service: "multi-user.target", Block: "sysinit.target"}

// Install says what the units are made of.
type Install struct {
	Dir     string // Of units: /etc/systemd/system. Required.
	Program string // The absolute path of leapc. Required.
	UIDs    []uint32
}

// Write writes the units and has systemd start them with the machine. Users that
// units from before let ask may go on. Invalid: somebody else than root could
// replace the program.
func (i Install) Write() error {
	if err := unit.Owned(i.Program); err != nil {
		return err
	}
	if err := i.keep(); err != nil {
		return err
	}
	for name, target := range targets {
		text, err := i.text(name)
		if err != nil {
			return err
		}
		if err := unit.Write(i.Dir, name, target, text); err != nil {
			return err
		}
	}
	return nil
}

// keep adds the users of the unit that is there.
func (i *Install) keep() error {
	text, err := os.ReadFile(filepath.Join(i.Dir, Service))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	words := strings.Fields(string(text))
	for at, word := range words[:max(0, len(words)-1)] {
		uid, err := strconv.ParseUint(words[at+1], 10, 32)
		if word == "--uid" && err == nil && !slices.Contains(i.UIDs, uint32(uid)) {
			i.UIDs = append(slices.Clone(i.UIDs), uint32(uid))
		}
	}
	return nil
}

// Remove removes the units.
func (i Install) Remove() error {
	var err error
	for name, target := range targets {
		err = errors.Join(err, unit.Remove(i.Dir, name, target))
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
