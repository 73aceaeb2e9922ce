// Command leap is the operator's tool: it keeps the provider instance, a
// directory, and brings what it says to the nodes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Exit statuses (services.md, 7).
const (
	exitFailed   = 1
	exitWarnings = 2 // It worked, and something wants an operator.
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{in: os.Stdin, out: os.Stdout, errs: os.Stderr, keys: defaultKeys(), cache: defaultCache(), now: time.Now}
	status := a.execute(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

// defaultKeys returns the directory where an operator's own keys are.
func defaultKeys() string {
	if dir := os.Getenv("LEAP_KEYS"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "leap")
	}
	return filepath.Join(os.Getenv("HOME"), ".config", "leap")
}

// defaultCache returns the directory of what can be made again.
func defaultCache() string {
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "leap")
	}
	return filepath.Join(os.Getenv("HOME"), ".cache", "leap")
}

// An app is one run of the program.
type app struct {
	in        *os.File
	out, errs io.Writer
	keys      string // Directory of operators' keys.
	cache     string // Directory of releases.
	now       func() time.Time

	dir  string // Where the instance is looked for.
	key  string // File of the operator's keys. Empty: in keys.
	env  string // Environment. Empty: the pinned one.
	json bool
	yes  bool

	status int
}

const about = `leap keeps a provider: a directory that says who the provider is, which nodes it
has and what runs on them, and brings that to the nodes.

  leap new demo                       make a provider
  cd demo
  leap node add db1 services:couchdb,soledad ip_address:192.0.2.11
  leap node add web1 services:webapp ip_address:192.0.2.12
  leap compile                        what each node shall be
  leap node identity db1 db1.disk     how a new machine learns that it is db1
  leap node init                      meet the nodes that were started
  leap deploy                         make them so
  leap status                         how they are

FILTER chooses nodes: names of nodes, services, tags or environments. Of several
words one must fit; a word with + in front must fit too: "webapp +production".
No FILTER means all nodes.

Exit status: 0 done, 1 not done, 2 done and something wants your attention.`

func (a *app) execute(ctx context.Context, args []string) int {
	root := a.commands()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errs)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(a.errs, "leap:", err)
		return exitFailed
	}
	return a.status
}

func (a *app) commands() *cobra.Command {
	root := group(&cobra.Command{Use: "leap", Short: "Keep a LEAP provider", Long: about, Version: version(), SilenceUsage: true, SilenceErrors: true},
		a.newCommand(), a.userCommand(), a.certCommand(), a.secretCommand(), a.nodeCommand(), a.imageCommand(), a.flashCommand(),
		a.compileCommand(), a.deployCommand(), a.updateCommand(), a.rebootCommand(),
		a.inspectCommand(), a.listCommand(), a.infoCommand(), a.envCommand(), a.historyCommand(), a.logsCommand(), a.statusCommand(),
		a.testCommand(), a.runCommand(), a.localCommand(),
		a.schemaCommand(), filesTopic())
	root.SetFlagErrorFunc(mistake)
	a.complete(root)
	f := root.PersistentFlags()
	f.StringVarP(&a.dir, "dir", "C", ".", "`directory` of the provider, or one below it")
	f.StringVar(&a.key, "key", "", "`file` of your own keys (default ~/.config/leap/DOMAIN.json, or below LEAP_KEYS)")
	f.StringVar(&a.env, "env", "", "only nodes of this `environment` (default the pinned one)")
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
	var text strings.Builder
	text.WriteString(b.Main.Version)
	for _, s := range b.Settings {
		if s.Key == "vcs.revision" {
			text.WriteString(" " + s.Value)
		}
	}
	return text.String() + ", " + b.GoVersion
}

// complete has a shell propose what FILTER and NAME can be.
func (a *app) complete(cmd *cobra.Command) {
	if strings.Contains(cmd.Use, "FILTER") || strings.Contains(cmd.Use, " NAME") {
		cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			i, err := a.open()
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			return i.Words(), cobra.ShellCompDirectiveNoFileComp
		}
	}
	for _, sub := range cmd.Commands() {
		a.complete(sub)
	}
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
		if instead, ok := gone[args[0]]; ok && cmd.Parent() == nil {
			return errors.New(instead)
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

// gone says what to use instead of leap_cli's commands that have no place here.
var gone = map[string]string{
	"ssh":      "nodes have no shell: see \"leap logs\", \"leap status\" and \"leap inspect\"",
	"mosh":     "nodes have no shell: see \"leap logs\", \"leap status\" and \"leap inspect\"",
	"scp":      "nodes have no shell: files below files/ come with \"leap deploy\"",
	"add-user": "it is called \"leap user add\" now",
	"facts":    "nodes tell them when they are asked: \"leap status\"",
}
