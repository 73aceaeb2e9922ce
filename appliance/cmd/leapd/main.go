// Command leapd is everything that runs on a node: every service of a
// provider, one per process on a node, all in one process on a developer's
// machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"leap.example/appliance/dev"
	"leap.example/appliance/launch"
	"leap.example/appliance/node"
	"leap.example/services/daemon"
)

func main() {
	if os.Getpid() == 1 {
		runInit(os.Stdout)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := execute(ctx, arguments(os.Args), os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// arguments returns the command line without the program's name. On a node the
// binary is also /user/<service>.
func arguments(argv []string) []string {
	name := filepath.Base(argv[0])
	if name == agentName {
		return append([]string{agentName}, argv[1:]...)
	}
	if _, ok := services()[name]; ok {
		return append([]string{"run", name}, argv[1:]...)
	}
	return argv[1:]
}

// execute runs one command line and returns the exit status.
func execute(ctx context.Context, args []string, out, errs io.Writer) (status int) {
	root := &cobra.Command{
		Use:   "leapd",
		Short: "The services of a LEAP provider",
		Long: `leapd is every service of a LEAP provider in one program.

  leapd dev            a whole provider on loopback, for developers
  leapd run SERVICE    one service as this process, as nodes run it
  leapd couch          look after the database of this node

As the first process of a machine it is the init of a node.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return mistake(cmd, err) })
	root.AddCommand(runCommand(&status), devCommand(), couchCommand(), agentCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(errs, "leapd:", err)
		if errors.Is(err, errUnwell) {
			return 1
		}
		return daemon.ExitStay
	}
	return status
}

// mistake is an error of the command line that says where to read on.
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

func runCommand(status *int) *cobra.Command {
	var config string
	var limits node.Launch
	var confine bool
	var ports []uint
	cmd := &cobra.Command{
		Use:   "run SERVICE",
		Short: "Run one service as this process",
		Long: `Run one service as this process, until SIGTERM.

On a node, --confine and what follows it come from the supervisor; without
--confine the process keeps all its rights.

Exit status: 1 failed, a restart may help; 125 a restart cannot help (bad
configuration); 143 stopped because it was asked to.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			build, ok := services()[name]
			if name == userspaceGateway {
				build, ok = buildUserspaceGateway, true
			}
			if !ok {
				all := slices.Sorted(maps.Keys(services()))
				return fmt.Errorf("no such service: %q; there are %s", name, strings.Join(all, ", "))
			}
			if config == "" {
				config = node.ConfigPath(name)
			}
			if confine {
				limits.Ports = nil
				for _, port := range ports {
					limits.Ports = append(limits.Ports, uint16(port))
				}
				// Nothing was read yet, and nobody else runs.
				if err := launch.Confine(launch.ForService(name, limits)); err != nil {
					return err
				}
			}
			log := slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil))
			*status = daemon.Main(cmd.Context(), name, config, build, log)
			return nil
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration `file` (default /run/leap/SERVICE/config.json)")
	cmd.Flags().BoolVar(&confine, "confine", false, "take from this process all that the service does not need on a node")
	cmd.Flags().Int64Var(&limits.Memory, "memory", 0, "`bytes` that the heap aims to stay below (default a share of the machine's)")
	cmd.Flags().UintSliceVar(&ports, "port", nil, "TCP `port` that it may offer when confined (default none)")
	cmd.Flags().BoolVar(&limits.Net, "net", false, "it manages network devices")
	return cmd
}

func devCommand() *cobra.Command {
	p := dev.Provider{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run every service of a one-node provider on loopback, in this process",
		Long: `Run every service of a one-node provider on loopback, in this process.

The first start makes the provider under --dir: certificate authorities, keys,
passwords, an invite code. Later starts find it there. Nothing needs root and
nothing listens outside loopback. "make run" starts it and lives two users'
story on it.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if p.Dir, err = filepath.Abs(p.Dir); err != nil {
				return err
			}
			if p, err = p.Settle(); err != nil {
				return err
			}
			unlock, err := lock(p.Dir)
			if err != nil {
				return err
			}
			defer unlock()
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			g, err := devGroup(cmd.Context(), p, log, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := p.Announce(cmd.OutOrStdout()); err != nil {
				return fmt.Errorf("announcing the endpoints: %w", err)
			}
			return g.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&p.Dir, "dir", "var/dev", "`directory` of the provider")
	cmd.Flags().StringVar(&p.Domain, "domain", "demo.example", "mail `domain` of the provider")
	cmd.Flags().IntVar(&p.Nodes, "nodes", 0, "`number` of database nodes, each a process of its own: 1, 3 or 5 (default: as before, or 1)")
	cmd.Flags().IntVar(&p.VPN, "gateways", 1, "`number` of gateways of the VPN; several are each a process of its own")
	cmd.Flags().IntVar(&p.Base, "base-port", 20000, "first TCP `port`; services listen at fixed offsets from it")
	return cmd
}
