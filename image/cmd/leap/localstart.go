package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"leap.example/image/provider"
	"leap.example/image/release"
	"leap.example/qemu/cluster"
	"leap.example/qemu/local"
	"leap.example/qemu/vm"
)

// Limits of starting.
const (
	labPatience    = 2 * time.Minute // Until the process serves: it writes a disk for each node.
	healthPatience = 5 * time.Minute
	logTail        = 2048 // Bytes of its log in an error.
	fullMemory     = 768  // MiB of a machine that runs more than a few services.
	few            = 5
)

// starting says how machines are started.
type starting struct {
	version string // Of the release. Empty: the newest built here.
	bare    bool   // They are neither met nor deployed.
	// firmware starts what is on their disks.
	firmware bool
}

func (a *app) localStart() *cobra.Command {
	var s starting
	cmd := &cobra.Command{
		Use: "start [FILTER]", Short: "Switch machines on, and make them what the provider says",
		Long: `Switch machines on, meet them and deploy them; with --bare they are only switched
on. The first time their disks are made, from the newest release that was built here,
or one that is built now. The machines go on when the command has ended: "leap local
stop" ends them.

They run that release and no other, and start fast. With --firmware they start what is
on their disks, by firmware and boot loader, as real machines do, now and later, and
can be updated. It needs OVMF (Debian: ovmf), and all machines to be off.`,
		RunE: func(cmd *cobra.Command, words []string) error { return a.startLocal(cmd.Context(), words, s) },
	}
	cmd.Flags().StringVar(&s.version, "release", "", "`version` of the release (default the newest built here)")
	cmd.Flags().BoolVar(&s.firmware, "firmware", false, "have them start from their disks, as real machines do")
	cmd.Flags().BoolVar(&s.bare, "bare", false, "do not meet and deploy them")
	return cmd
}

func (a *app) startLocal(ctx context.Context, words []string, s starting) error {
	i, nodes, err := a.localNodes(words)
	if err != nil {
		return err
	}
	c, lab, err := a.lab(ctx, i)
	if err != nil {
		return err
	}
	if c == nil {
		if c, lab, err = a.beginLab(ctx, i, nodes[0].Environment, s); err != nil {
			return err
		}
	} else if s.firmware {
		return errors.New("machines are running: leap local stop, then start with --firmware")
	}
	for _, n := range nodes {
		if !slices.ContainsFunc(lab.Nodes, func(m local.Machine) bool { return m.Name == n.Name }) {
			return fmt.Errorf("%s was added after the others were started: leap local stop, then start again", n.Name)
		}
	}
	fmt.Fprintf(a.errs, "switching on %s\n", strings.Join(names(nodes), ", "))
	if err := c.Start(ctx, names(nodes)...); err != nil {
		return err
	}
	if !s.bare {
		if err := a.furnish(ctx, names(nodes)); err != nil {
			return err
		}
		if err := a.openDoors(ctx, c, nodes); err != nil {
			return err
		}
	}
	if lab, err = c.Lab(ctx); err != nil {
		return err
	}
	return a.print(lab, func() { a.tellLab(i, lab) })
}

// openDoors brings what nodes offer everybody to loopback, as far as it may.
func (a *app) openDoors(ctx context.Context, c *local.Client, nodes []*provider.Node) error {
	_, _, out, err := a.compiled(true)
	if err != nil {
		return err
	}
	var at []netip.AddrPort
	for _, n := range nodes {
		for _, port := range cluster.PublicPorts(out.Documents[n.Name]) {
			at = append(at, netip.AddrPortFrom(n.IPAddress, port))
		}
	}
	return c.Open(ctx, at)
}

// furnish meets nodes, deploys them, and waits until they are healthy: those that
// were what they should be already have only just been switched on.
func (a *app) furnish(ctx context.Context, words []string) error {
	if _, err := a.meet(ctx, words, reach{}); err != nil {
		return err
	}
	results, err := a.deploy(ctx, words, deploying{})
	if err != nil {
		return err
	}
	if err := failures(results); err != nil {
		a.tellResults(results)
		return err
	}
	_, nodes, clients, err := a.reachNodes(ctx, words, reach{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for k := 0; k < len(nodes); {
		s, err := clients[k].Status(ctx)
		var wrong []string
		if err == nil {
			wrong = unwell(s)
		}
		if err == nil && len(wrong) == 0 {
			k++
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not get healthy: %q, %w", nodes[k].Name, wrong, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
	return nil
}

// beginLab starts the process that runs the machines of an environment.
func (a *app) beginLab(ctx context.Context, i *provider.Instance, env string, s starting) (*local.Client, local.Lab, error) {
	r, err := release.Open(a.releases(""), s.version)
	if errors.Is(err, release.ErrNone) {
		r, err = a.build(ctx, building{})
	}
	if err != nil {
		return nil, local.Lab{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, local.Lab{}, err
	}
	if err := os.MkdirAll(localDir(i), 0o700); err != nil {
		return nil, local.Lab{}, err
	}
	log, err := os.Create(filepath.Join(localDir(i), "log"))
	if err != nil {
		return nil, local.Lab{}, err
	}
	defer log.Close() // The process has its own.
	args := []string{"-C", i.Dir, "--env", env, "local", "run", "--release", r.Version}
	if s.firmware {
		args = append(args, "--firmware")
	}
	if a.key != "" {
		args = append(args, "--key", a.key)
	}
	cmd := exec.Command(self, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // It outlives this command and its terminal.
	if err := cmd.Start(); err != nil {
		return nil, local.Lab{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, labPatience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		c, lab, err := local.Find(ctx, localDir(i))
		if err == nil {
			return c, lab, nil
		}
		select {
		case err := <-ended:
			return nil, lab, fmt.Errorf("the machines do not run: %w%s", err, a.logEnd(log.Name()))
		case <-ctx.Done():
			_ = cmd.Process.Signal(syscall.SIGTERM) // It may have ended.
			return nil, lab, fmt.Errorf("the machines do not run: %w: see %s", err, log.Name())
		case <-tick.C:
		}
	}
}

// logEnd is the end of a log, for an error.
func (a *app) logEnd(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return "\n" + string(bytes.TrimSpace(text[max(0, len(text)-logTail):]))
}

// localRun is the process that beginLab starts.
func (a *app) localRun() *cobra.Command {
	var version string
	var firmware bool
	cmd := &cobra.Command{
		Use: "run", Short: "Run the machines until they are ended (started by \"leap local start\")", Args: args(cobra.NoArgs), Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			i, v, err := a.unlock()
			if err != nil {
				return err
			}
			free, err := local.Lock(localDir(i))
			if err != nil {
				return err
			}
			defer free()
			config, err := a.labConfig(i, v, version)
			if err != nil {
				return err
			}
			config.Firmware = firmware
			c, err := cluster.Open(cmd.Context(), config)
			if err != nil {
				return err
			}
			err = local.Serve(cmd.Context(), config.Dir, version, c)
			return errors.Join(err, c.Close())
		},
	}
	cmd.Flags().StringVar(&version, "release", "", "`version` of the release")
	cmd.Flags().BoolVar(&firmware, "firmware", false, "start from disks")
	return cmd
}

// labConfig is the cluster of an environment.
func (a *app) labConfig(i *provider.Instance, v *provider.Vault, version string) (cluster.Config, error) {
	secrets, err := v.All()
	if err != nil {
		return cluster.Config{}, err
	}
	config, err := cluster.Of(i, a.env, secrets)
	if err != nil {
		return config, err
	}
	for k := range config.Nodes {
		if len(i.Node(config.Nodes[k].Name).Runs) > few {
			config.Nodes[k].Memory = fullMemory
		}
	}
	r, err := release.Open(a.releases(""), version)
	if err != nil {
		return config, err
	}
	if config.Release, err = os.ReadFile(r.UKI()); err != nil {
		return config, err
	}
	config.Dir, config.Image, config.QEMU = localDir(i), r.Disk(), vm.Options{}
	return config, nil
}
