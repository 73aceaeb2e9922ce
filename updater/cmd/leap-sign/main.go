// Command leap-sign is the tool of those who sign releases: it keeps a repository
// of The Update Framework, and lets each signer see and sign what shall become
// public, on a machine of his own that needs no network.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"leap.example/updater/tufrepo"
)

// Exit statuses.
const (
	exitFailed   = 1
	exitWarnings = 2 // It worked, and something wants attention.
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{in: os.Stdin, out: os.Stdout, errs: os.Stderr, agent: os.Getenv("SSH_AUTH_SOCK"), now: time.Now}
	status := a.execute(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

// An app is one run of the program.
type app struct {
	in        *os.File
	out, errs io.Writer
	agent     string // Socket of the ssh-agent.
	now       func() time.Time

	dir  string // The repository.
	json bool
	yes  bool
	keys keyFlags

	status int
}

const about = `leap-sign keeps a repository of releases that nobody can change alone. Whatever
shall become public is an event, a directory; it goes to the signers, on a stick if
need be, and their signatures come back as small files. Clients take what enough
keys have signed, and nothing else.

On each signer's machine, once:
  leap-sign key new alice                 alice.key.age, encrypted, and alice.pub

Where the repository is kept:
  leap-sign init repo --name vendor.example --key root=alice.pub …
  cd repo
  leap-sign event new 1.2.0 --add client/linux-amd64/1.2.0/leapc=bin/leapc
  leap-sign rollout begin 1.2.0           to more and more machines; halt stops it

On each signer's machine, with the directory of the event:
  leap-sign compare /media/stick/1.2.0 build    is it what you have built?
  leap-sign sign /media/stick/1.2.0 --key alice.key.age --root trusted.root.json

Back where the repository is kept, with signatures/*.json:
  leap-sign status                        who has signed, and what comes next
  leap-sign publish 1.2.0 --key online.key.age

Every day, on the machine that publishes:
  leap-sign timestamp --key online.key.age --identity /etc/leap-sign/identity

Exit status: 0 done, 1 not done, 2 done and something wants your attention.`

func (a *app) execute(ctx context.Context, args []string) int {
	root := a.commands()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errs)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(a.errs, "leap-sign:", err)
		return exitFailed
	}
	return a.status
}

func (a *app) commands() *cobra.Command {
	root := group(&cobra.Command{Use: "leap-sign", Short: "Sign releases, by several people", Long: about, Version: version(), SilenceUsage: true, SilenceErrors: true},
		a.keyCommand(), a.initCommand(), a.eventCommand(), a.rolloutCommand(), a.compareCommand(), a.signCommand(), a.statusCommand(), a.publishCommand(), a.rotateCommand(), a.timestampCommand(), a.verifyCommand())
	root.SetFlagErrorFunc(mistake)
	f := root.PersistentFlags()
	f.StringVarP(&a.dir, "repo", "C", ".", "`directory` of the repository")
	f.BoolVar(&a.json, "json", false, "print JSON, for programs")
	f.BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	return root
}

// version is what this program was built from.
func version() string {
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return b.Main.Version + ", " + b.GoVersion
}

// mistake is a usage error that says where to read on.
func mistake(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w\nsee: %s --help", err, cmd.CommandPath())
}

// args makes cobra's argument checks say where to read on.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return mistake(cmd, err)
		}
		return nil
	}
}

// group makes cmd a command that has only subcommands.
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

// open opens the repository.
func (a *app) open() (*tufrepo.Repo, error) { return tufrepo.Open(a.dir) }

// eventNames has a shell propose events.
func (a *app) eventNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	r, err := a.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names, err := r.Events()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// print writes v as JSON if that is wanted, and else calls text.
func (a *app) print(v any, text func()) error {
	if !a.json {
		text()
		return nil
	}
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// sayf tells a person what happened.
func (a *app) sayf(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }

// warnf tells a person what wants attention.
func (a *app) warnf(format string, args ...any) {
	a.status = exitWarnings
	fmt.Fprintf(a.errs, "! "+format+"\n", args...)
}

// assignments reads flags of the form NAME=VALUE, in their order.
func assignments(flag string, list []string) ([][2]string, error) {
	var out [][2]string
	for _, s := range list {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" || value == "" {
			return nil, fmt.Errorf("--%s %s: NAME=VALUE is required", flag, s)
		}
		out = append(out, [2]string{name, value})
	}
	return out, nil
}

var errNothing = errors.New("nothing was done")
