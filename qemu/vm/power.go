package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Status returns QEMU's word for what the machine does: running, paused,
// shutdown, guest-panicked and others.
func (m *Machine) Status(ctx context.Context) (string, error) {
	b, err := m.command(ctx, "query-status")
	if err != nil {
		return "", err
	}
	var answer struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return "", fmt.Errorf("machine %s: query-status: %w", m.name, err)
	}
	return answer.Status, nil
}

// PowerCut ends the machine as the loss of its power does: what the guest has not
// given to its disks is lost.
func (m *Machine) PowerCut(ctx context.Context) error {
	quit, cancel := context.WithTimeout(ctx, quitPatience)
	defer cancel()
	if _, err := m.command(quit, "quit"); err == nil || errors.Is(err, errEnded) {
		if _, err := m.Wait(quit); err == nil {
			return m.err
		}
	}
	return m.Close()
}

// PowerButton presses the button that asks the guest to power itself off.
func (m *Machine) PowerButton(ctx context.Context) error {
	_, err := m.command(ctx, "system_powerdown")
	return err
}

// Reset presses the reset button. Without Config.Reboots that ends the machine.
func (m *Machine) Reset(ctx context.Context) error {
	_, err := m.command(ctx, "system_reset")
	return err
}

// Freeze stops the machine in the middle of what it does; Thaw lets it go on. Its
// clock stands still meanwhile.
func (m *Machine) Freeze(ctx context.Context) error {
	_, err := m.command(ctx, "stop")
	return err
}

// Thaw ends Freeze.
func (m *Machine) Thaw(ctx context.Context) error {
	_, err := m.command(ctx, "cont")
	return err
}

func (m *Machine) command(ctx context.Context, name string) (json.RawMessage, error) {
	b, err := m.qmp.do(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", m.name, err)
	}
	return b, nil
}
