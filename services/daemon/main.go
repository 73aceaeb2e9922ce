package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// A Builder makes a service from the configuration of its process. It touches
// neither network nor disk.
type Builder func(c *Config, log *slog.Logger) (Service, error)

// Exit statuses of a service process, as gokrazy's supervisor reads them: it
// never restarts after 0 and 125, and restarts after anything else, unless it
// was told to stop the service before. Its /restart is a SIGTERM followed by
// that same rule: a service that answers SIGTERM with 0 would stay down.
const (
	ExitFailed  = 1   // A fresh process may do better.
	ExitStay    = 125 // A restart cannot help: bad configuration, or ErrFatal.
	ExitStopped = 143 // Asked to stop, and stopped. 128 + SIGTERM.
)

// Settings is the section "daemon", which every process has.
type Settings struct {
	Listen string `json:"listen"` // Health: host:port, or a path for a unix socket. Empty: none.
}

// Validate implements the check that [Config.Section] makes.
func (s Settings) Validate() error { return nil }

// Main runs one service as this process until ctx is done, and returns the
// exit status. Restarting is left to the supervisor above the process.
func Main(ctx context.Context, name, path string, build Builder, log *slog.Logger) int {
	err := run(ctx, name, path, build, log)
	if err == nil {
		return ExitStopped
	}
	status := ExitFailed
	if errors.Is(err, ErrFatal) {
		status = ExitStay
	}
	log.Error("exiting", "service", name, "err", err, "status", status)
	return status
}

func run(ctx context.Context, name, path string, build Builder, log *slog.Logger) error {
	c, err := ReadConfig(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	var settings Settings
	if err := c.Section("daemon", &settings); err != nil {
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	s, err := Build(c, build, log.With("service", name))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	g := &Group{Log: log, Once: true}
	g.Add(name, s)
	if settings.Listen != "" {
		g.AddHealth(settings.Listen)
	}
	return g.Run(ctx)
}

// Build makes the service and checks that no section of c was left unread.
func Build(c *Config, build Builder, log *slog.Logger) (Service, error) {
	s, err := build(c, log)
	if err != nil {
		return nil, err
	}
	return s, c.Finish()
}
