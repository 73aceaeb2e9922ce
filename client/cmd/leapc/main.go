// Command leapc is the client: the daemon that holds a user's unlocked account
// and the command line that speaks to it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"leap.example/client/control"
	"leap.example/client/update"
	"leap.example/services/daemon"
	"leap.example/services/protocol/problem"
)

// Exit statuses (client.md 7.4); the daemon's own are in services/daemon.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitNeedsLogin = 3
	exitDegraded   = 4
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{in: os.Stdin, out: os.Stdout, errs: os.Stderr, home: defaultHome(), runtime: os.Getenv("XDG_RUNTIME_DIR")}
	status := a.execute(ctx, os.Args[1:])
	stopped := ctx.Err() != nil // Also while it was to start again.
	stop()
	if a.next != "" && !stopped {
		// In the same process, which whoever watches it goes on to watch.
		env, err := handOver(a.kept, os.Environ())
		if err != nil {
			fmt.Fprintln(os.Stderr, "leapc:", err) // The account is locked then.
		}
		err = syscall.Exec(a.next, append([]string{a.next}, os.Args[1:]...), env)
		fmt.Fprintln(os.Stderr, "leapc: starting", a.next, "again:", err)
		status = exitFailed
	}
	os.Exit(status)
}

// defaultHome returns where the account of this device lives.
func defaultHome() string {
	if dir := os.Getenv("LEAPC_HOME"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "leapc")
	}
	return filepath.Join(os.Getenv("HOME"), ".local", "share", "leapc")
}

// An app is one run of the program.
type app struct {
	in        *os.File
	out, errs io.Writer
	home      string
	runtime   string
	json      bool
	status    int
	next      string // The program that takes the place of this one; usually none.
	kept      []byte // With which that one opens the account again; nothing if it was locked.
}

// socket returns the path of the control socket of this home: in the runtime
// directory for the usual home, in the home itself for any other.
func (a *app) socket() string {
	if a.runtime != "" && a.home == defaultHome() && os.Getenv("LEAPC_HOME") == "" {
		return filepath.Join(a.runtime, "leap", "leapc.sock")
	}
	return filepath.Join(a.home, "leapc.sock")
}

func (a *app) client() *control.Client { return control.Dial(a.socket()) }

func (a *app) execute(ctx context.Context, args []string) int {
	root := a.commands()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return a.status
	}
	if errors.Is(err, control.ErrNotRunning) && a.home != defaultHome() {
		err = fmt.Errorf("%w (this one: \"leapc --home %s daemon\")", err, a.home)
	}
	fmt.Fprintln(a.errs, "leapc:", err)
	return statusOf(err)
}

// maxSocket is the length of a socket's path that the kernel takes, in bytes:
// sun_path of unix(7) without its final zero.
const maxSocket = 107

// prepare makes the home absolute, and refuses one that is too deep.
func (a *app) prepare(*cobra.Command, []string) error {
	var err error
	if a.home, err = filepath.Abs(a.home); err != nil {
		return err
	}
	if n := len(a.socket()); n > maxSocket {
		return usageError{fmt.Errorf("the home %s is too deep: the path of its control socket has %d bytes, %d are possible; choose a shorter --home", a.home, n, maxSocket)}
	}
	return nil
}

// usageError marks a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func statusOf(err error) int {
	var usage usageError
	switch {
	case errors.As(err, new(*update.BackError)), errors.As(err, new(errAfterwards)):
		return exitFailed
	case notInstalled(err):
		return exitDegraded
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, problem.Unauthenticated):
		return exitNeedsLogin
	case errors.Is(err, problem.Unavailable), errors.Is(err, control.ErrNotRunning):
		return exitDegraded
	case errors.Is(err, daemon.ErrFatal):
		return daemon.ExitStay
	}
	return exitFailed
}

// mistake is a usage error that says where to read on.
func mistake(cmd *cobra.Command, err error) error {
	return usageError{fmt.Errorf("%w\nsee: %s --help", err, cmd.CommandPath())}
}

// args makes cobra's argument checks usage errors.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return mistake(cmd, err)
		}
		return nil
	}
}

// group makes cmd a command that has only subcommands: alone it shows its help,
// and what is none of them is a usage error.
func group(cmd *cobra.Command, sub ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(sub...)
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := ""
		if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
			hint = "; did you mean " + strings.Join(like, " or ") + "?"
		}
		return mistake(cmd, fmt.Errorf("%s has no command %q%s", cmd.CommandPath(), args[0], hint))
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}
