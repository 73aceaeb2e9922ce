package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"leap.example/client/account"
	"leap.example/client/control"
	"leap.example/client/update"
	"leap.example/client/vpn"
	"leap.example/client/vpn/policy"
	"leap.example/services/daemon"
	"leap.example/services/protocol/problem"
)

// maxSays is how much a program may say, in bytes.
const maxSays = 4 << 10

// try has a program check itself, as "leapc update selfcheck" does, with nothing
// of this process's environment.
func try(ctx context.Context, program string) (update.Says, error) {
	var out, errs bytes.Buffer
	for {
		out.Reset()
		errs.Reset()
		cmd := exec.CommandContext(ctx, program, "update", "selfcheck", "--json")
		cmd.Env, cmd.Dir, cmd.WaitDelay = []string{}, "/", time.Second
		cmd.Stdout, cmd.Stderr = limited{&out}, limited{&errs}
		err := cmd.Run()
		switch e, ok := errors.AsType[*exec.ExitError](err); {
		case errors.Is(err, syscall.ETXTBSY): // A process that was being started had it open to write.
			select {
			case <-ctx.Done():
				return update.Says{}, ctx.Err()
			case <-time.After(10 * time.Millisecond):
			}
			continue
		case ok:
			return update.Says{}, fmt.Errorf("%w: %v: %.200s", update.ErrTry, e, strings.TrimSpace(errs.String()))
		case errors.Is(err, syscall.ENOEXEC), errors.Is(err, fs.ErrNotExist):
			return update.Says{}, fmt.Errorf("%w: %w", update.ErrTry, err)
		case err != nil:
			return update.Says{}, err
		}
		return parseSays(out.Bytes())
	}
}

// parseSays reads what a program says of itself.
func parseSays(text []byte) (update.Says, error) {
	var s update.Says
	if err := json.Unmarshal(text, &s); err != nil || s.Schema != says().Schema {
		return update.Says{}, fmt.Errorf("%w: it says %.100q", update.ErrOther, text)
	}
	return s, nil
}

// limited drops what is too much.
type limited struct{ *bytes.Buffer }

// Write implements io.Writer.
func (l limited) Write(b []byte) (int, error) {
	if room := maxSays - l.Len(); room > 0 {
		l.Buffer.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

func (a *app) updateSelfcheck() *cobra.Command {
	return &cobra.Command{
		Use:   "selfcheck",
		Short: "Start a daemon on an empty home, ask it how it is, and say what this program is",
		Long: `Start a daemon on an empty home, ask it how it is, and say what this program is.
An update does it with a new version before that takes the place of the old one.`,
		Hidden: true,
		Args:   args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := selfcheck(cmd.Context()); err != nil {
				return err
			}
			s := says()
			return a.print(s, func() { fmt.Fprintf(a.out, "%s for %s-%s works here\n", s.Version, s.OS, s.Arch) })
		},
	}
}

// selfcheck runs a daemon as "leapc daemon" does, for a moment.
func selfcheck(ctx context.Context) error {
	home, err := os.MkdirTemp("", "leapc-try-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	acct := account.New(account.Config{Dir: home}, log)
	none := func(context.Context) (policy.Path, error) { return nil, problem.NotExist.Errorf("not asked") }
	v := vpn.New(vpn.Config{Dir: home, Provider: acct.Provider, Token: acct.Token, Helper: none}, log)
	socket := filepath.Join(home, "leapc.sock")
	g := &daemon.Group{Log: log, Once: true}
	g.Add("account", acct)
	g.Add("vpn", v)
	g.Add("control", control.NewServer(socket, acct, v, newUpdates(nil, nil), log))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	c := control.Dial(socket)
	defer c.Close()
	for {
		s, err := c.UpdateStatus(ctx)
		if err == nil {
			_, err = c.Status(ctx)
		}
		if err == nil && s.Version == ownVersion() {
			cancel()
			return <-ended
		}
		select {
		case err := <-ended:
			return errors.Join(err, errors.New("the daemon ended"))
		case <-time.After(poll / 4):
		}
	}
}
