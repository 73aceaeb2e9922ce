package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"leap.example/client/control"
	"leap.example/client/update"
	"leap.example/client/vpn/helper"
	"leap.example/services/protocol/problem"
)

// parts are what runs of a prefix and this process may restart: this user's
// daemon, and at last, as root, the VPN's helper.
func (a *app) parts(ctx context.Context, p update.Prefix) ([]update.Part, error) {
	all, err := helperParts(ctx, p)
	return append([]update.Part{a.daemonPart(p)}, all...), err
}

// helperParts are those that only root may restart.
func helperParts(ctx context.Context, p update.Prefix) ([]update.Part, error) {
	if os.Geteuid() != 0 || !systemdRuns() {
		return nil, nil
	}
	out, err := exec.CommandContext(ctx, "systemctl", "show", "--property=ActiveState", "--value", helper.Service).Output()
	if err != nil {
		return nil, fmt.Errorf("asking systemd for the VPN's helper: %w", err)
	}
	state := strings.TrimSpace(string(out))
	return []update.Part{helperPart{p, state != "inactive" && state != ""}}, nil
}

// errElsewhere is that of a part that is another program than the one updated.
var errElsewhere = fmt.Errorf("%w from this prefix", update.ErrStopped)

// errGone is that of a helper that is not installed, not to run, or another program: no
// update waits until it is this one again.
var errGone = fmt.Errorf("the VPN's helper: %w from this prefix", update.ErrGone)

// A helperPart is the VPN's helper, as root sees it. Its table of the firewall
// stays while it starts again.
type helperPart struct {
	prefix update.Prefix
	runs   bool // Or is to, says systemd.
}

func (helperPart) String() string { return "VPN helper" }

// Version implements update.Part.
func (h helperPart) Version(ctx context.Context) (string, error) {
	if !h.runs {
		return "", errGone
	}
	got, err := helper.NewClient(helper.Socket).Program(ctx)
	if err != nil {
		return "", err
	}
	if in, ok := update.Of(got.Path); !ok || in != h.prefix {
		return "", errGone // Or a release before updates, which is in no prefix.
	}
	return got.Version, nil
}

// Restart implements update.Part.
func (helperPart) Restart(ctx context.Context) error {
	return systemctl(ctx, "restart", helper.Service)
}

// A daemonPart is this user's daemon. It starts again by itself, in the same
// process; one that does not answer any more is ended and started anew.
type daemonPart struct {
	socket, home string
	prefix       update.Prefix
	seen         control.UpdateStatus
	state        string               // Of the account, as it was seen last.
	unit         bool                 // systemd runs it.
	say          func(version string) // Told when it is to start again.
}

func (a *app) daemonPart(p update.Prefix) *daemonPart {
	return &daemonPart{socket: a.socket(), home: a.home, prefix: p, say: func(version string) {
		if !a.json {
			fmt.Fprintf(a.errs, "the daemon starts again as %s; it has half a minute\n", version)
		}
	}}
}

func (*daemonPart) String() string { return "daemon" }

// Version implements update.Part. It has the daemon do a little more than answer.
func (d *daemonPart) Version(ctx context.Context) (string, error) {
	c := control.Dial(d.socket)
	defer c.Close()
	got, err := c.UpdateStatus(ctx)
	if errors.Is(err, control.ErrNotRunning) || errors.Is(err, control.ErrForeign) {
		return "", errors.Join(update.ErrStopped, err) // Another user's is no part of what this one runs.
	}
	if err != nil {
		return "", err
	}
	if in, ok := update.Of(got.Program); !ok || in != d.prefix {
		return "", errElsewhere
	}
	account, err := c.Status(ctx)
	if err != nil {
		return "", err
	}
	group, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", got.PID))
	d.seen, d.state, d.unit = got, account.State, err == nil && strings.Contains(string(group), "/"+daemonUnit)
	return got.Version, nil
}

// Restart implements update.Part.
func (d *daemonPart) Restart(ctx context.Context) error {
	version, err := d.prefix.Current()
	if err != nil {
		return err
	}
	d.say(version)
	c := control.Dial(d.socket)
	defer c.Close()
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = c.UpdateRestart(short)
	if err == nil || d.seen.PID == 0 {
		return err
	}
	d.end(ctx)
	if d.unit {
		return systemctl(ctx, "--user", "restart", daemonUnit)
	}
	return d.start()
}

// end ends a daemon that does not answer, if it is one of this prefix.
func (d *daemonPart) end(ctx context.Context) {
	runs := func() bool {
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", d.seen.PID))
		in, ok := update.Of(strings.TrimSuffix(program, " (deleted)"))
		return err == nil && ok && in == d.prefix
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for range 50 {
			if !runs() {
				return
			}
			_ = syscall.Kill(d.seen.PID, sig) // It may have ended by itself.
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// daemonLog is where the daemon writes that an update has started anew.
const daemonLog = "daemon.log"

// openLog opens the log of the daemon in a home. No link is followed, and in a home
// of another user nothing is written or started.
func openLog(home string) (*os.File, error) {
	dir, err := os.Open(home)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil {
		return nil, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
		return nil, problem.Permission.Errorf("the home %s belongs to another user, and the daemon is not started there: repeat it as that user", home)
	}
	path := filepath.Join(home, daemonLog)
	fd, err := syscall.Openat(int(dir.Fd()), daemonLog, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_APPEND|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// start starts the daemon with the flags that it had.
func (d *daemonPart) start() error {
	log, err := openLog(d.home)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.prefix.Start(), append(d.seen.Arguments, "--home", d.home)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}
