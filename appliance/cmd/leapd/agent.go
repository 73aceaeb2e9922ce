package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"leap.example/appliance/agent"
	"leap.example/appliance/clock"
	"leap.example/appliance/efi"
	"leap.example/appliance/firewall"
	"leap.example/appliance/keystore"
	"leap.example/appliance/mesh"
	"leap.example/appliance/netcfg"
	"leap.example/appliance/node"
	"leap.example/appliance/slots"
	"leap.example/appliance/supervise"
	"leap.example/appliance/tunnel"
	"leap.example/appliance/volume"
	"leap.example/services/daemon"
)

func agentCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "agent",
		Short: "Make this node what its document says (started by init)",
		Long: `Make this node what its document says, and take new documents from operators.

Init starts it on a node. There is no use for it elsewhere: it sets the
machine's addresses and firewall.`,
		Args:   args(cobra.NoArgs),
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil))
			err := runAgent(cmd.Context(), log)
			if err != nil {
				log.ErrorContext(cmd.Context(), "the agent has ended", "err", err)
			}
			return err
		},
	}
}

// runAgent is the agent of this node, until ctx is done.
func runAgent(ctx context.Context, log *slog.Logger) error {
	id, err := ownIdentity()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(node.ReleaseFile)
	if err != nil {
		return err
	}
	release, err := efi.ParseRelease(text)
	if err != nil {
		return err
	}
	boot, err := bootReport()
	if err != nil {
		return err
	}
	keyDir, generations, state := node.KeyDir, node.Generations, node.StateDirs
	if !boot.Perm { // The node is reachable, and holds nothing.
		keyDir, generations, state = noPerm+"/keys", noPerm+"/node", noPerm+"/state"
	}
	keys, err := keystore.Open(keyDir)
	if err != nil {
		return err
	}
	others, err := ownReleases(boot, release.Version)
	if err != nil { // What runs goes on; it cannot be replaced.
		boot.Trouble = append(boot.Trouble, "releases: "+err.Error())
	}
	network := netcfg.New(netcfg.Config{ResolvConf: "/tmp/resolv.conf", Hosts: "/etc/hosts", Log: log})
	time := clock.New(clock.Config{Built: release.Built, Offered: network.TimeServers, Log: log})
	updates, err := ownUpdates(id, release, boot, log)
	if err != nil {
		return err
	}
	a := agent.New(agent.Config{
		Identity: id, Release: release.Version, Dir: generations, RunDir: node.RunDir, StateDir: state,
		Boot: boot, Releases: others, Update: updates, Mirror: ownMirror(updates), Own: true,
	}, keys, parts(network, time, log), log)
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(int(id.Agent.Port))))
	if err != nil {
		return err
	}
	g := daemon.Group{Log: log, Once: true}
	g.Add("network", network)
	g.Add("clock", time)
	g.Add("agent", a)
	g.Add("console", service(func(ctx context.Context) error { return tellConsole(ctx, network.Trouble) }))
	g.Add("api", service(func(ctx context.Context) error { return a.Serve(ctx, ln) }))
	return g.Run(ctx)
}

// ownReleases are those of this node. Nil: a boot loader has chosen none of them.
func ownReleases(boot node.Boot, running string) (*slots.Slots, error) {
	if boot.Loader == "" {
		return nil, nil
	}
	d, err := volume.Here.Find()
	if err != nil {
		return nil, err
	}
	return releases(d, boot.Perm, running)
}

// service is a function that is a [daemon.Service].
type service func(context.Context) error

// Run implements [daemon.Service].
func (s service) Run(ctx context.Context) error { return s(ctx) }

// noPerm is where the agent keeps what it must on a node whose writable
// partition cannot be used: in memory.
const noPerm = "/run/agent"

// parts are the parts of this machine that the agent moves.
func parts(network *netcfg.Net, c *clock.Clock, log *slog.Logger) agent.Parts {
	did := func(ctx context.Context, part string, plan []string) {
		for _, step := range plan {
			log.InfoContext(ctx, "changed", "part", part, "step", step)
		}
	}
	return agent.Parts{
		Firewall: func(ctx context.Context, d node.Document) error {
			_, err := firewall.Apply(ctx, d)
			return err
		},
		Network: func(ctx context.Context, n node.Network) error {
			_, err := network.Apply(ctx, n)
			return err
		},
		NetworkTrouble: network.Trouble,
		Disk:           func() node.Disk { return agent.Measure(node.Perm) },
		Mesh: func(ctx context.Context, m *node.Mesh, private []byte) error {
			key, err := mesh.ParseKey(private)
			if err != nil {
				return err
			}
			plan, err := mesh.Apply(ctx, m, key)
			did(ctx, "mesh", plan)
			return err
		},
		Tunnel: func(ctx context.Context, d node.Document) error {
			plan, err := tunnel.Frame(ctx, d)
			did(ctx, "tunnel", plan)
			return err
		},
		Clock: func(ctx context.Context, t node.Time, wait time.Duration) error {
			c.SetServers(t.Servers)
			return c.Wait(ctx, wait)
		},
		ClockState: func() node.Clock { return clockState(c.State()) },
		ClockSet:   c.Set,
		Supervisor: supervise.NewClient(node.ControlSocket),
		Check:      checkService,
		MeshKey: func() ([]byte, error) {
			key, err := mesh.NewKey()
			return key.Bytes(), err
		},
		MeshPublic: func(private []byte) (string, error) {
			key, err := mesh.ParseKey(private)
			return key.Public(), err
		},
	}
}

// clockState is s as the agent tells it.
func clockState(s clock.State) node.Clock {
	c := node.Clock{Now: time.Now(), Known: s.Known, Told: s.Told, Servers: s.Servers, Offset: node.Duration(s.Offset), Asked: s.Asked}
	if s.Err != nil {
		c.Error = s.Err.Error()
	}
	return c
}

// checkService builds a service as "leapd run" would, and does not run it.
func checkService(name string, config []byte) error {
	build, ok := services()[name]
	if !ok {
		return errors.New("this release has no such service")
	}
	c, err := daemon.ParseConfig(config)
	if err != nil {
		return err
	}
	var s daemon.Settings
	if err := c.Section("daemon", &s); err != nil {
		return err
	}
	if _, err := daemon.Build(c, build, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	return nil
}

// ownIdentity reads the identity that init has taken, and checks that it is
// whole: its signature is init's business.
func ownIdentity() (node.Identity, error) {
	text, err := os.ReadFile(node.IdentityFile)
	if err != nil {
		return node.Identity{}, err
	}
	var s node.Signed
	if _, err := node.Decode(node.IdentityFile, text, &s); err != nil {
		return node.Identity{}, err
	}
	return node.ParseIdentity(s.Text)
}

// bootReport reads what init found.
func bootReport() (b node.Boot, err error) {
	text, err := os.ReadFile(node.BootFile)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, fmt.Errorf("%s: %w", node.BootFile, err)
	}
	return b, nil
}
