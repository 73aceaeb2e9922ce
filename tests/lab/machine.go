package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"leap.example/qemu/vm"
)

// A Machine is one that a test switches on and off. What each of its starts wrote to
// the console is kept.
type Machine struct {
	*vm.Machine // As it was switched on last. Nil: it never was.

	Config vm.Config // But for the console.

	dir        string
	hypervisor *vm.Hypervisor
	starts     int
}

// NewMachine returns one that is off. Its consoles are in dir.
func NewMachine(dir string, h *vm.Hypervisor, config vm.Config) *Machine {
	return &Machine{Config: config, dir: dir, hypervisor: h}
}

func (m *Machine) console(start int) string { return fmt.Sprintf("%s-%d.serial", m.Config.Name, start) }

// On switches it on.
func (m *Machine) On(t testing.TB) {
	t.Helper()
	m.starts++
	m.Config.Serial = filepath.Join(m.dir, m.console(m.starts))
	on, err := m.hypervisor.Start(t.Context(), m.Config)
	if err != nil {
		t.Fatal(err)
	}
	m.Machine = on
}

// Cut takes the power from it.
func (m *Machine) Cut(t testing.TB) {
	t.Helper()
	if err := errors.Join(m.PowerCut(t.Context()), m.Close()); err != nil {
		t.Fatal(err)
	}
}

// Close switches it off for good, if it is on.
func (m *Machine) Close() error {
	if m.Machine == nil {
		return nil
	}
	return m.Machine.Close()
}

// SaveConsoles copies its consoles into another directory.
func (m *Machine) SaveConsoles(dir string) (errs error) {
	for k := range m.starts {
		name := m.console(k + 1)
		text, err := os.ReadFile(filepath.Join(m.dir, name))
		errs = errors.Join(errs, err, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	return errs
}
