package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"leap.example/appliance/dev"
	"leap.example/services/bigcouch"
	"leap.example/services/couch"
	"leap.example/services/daemon"
)

// devCouch returns how a service reaches the database.
func devCouch(p dev.Provider, account string) couch.Config {
	c := couch.Config{URLs: []string{"http://" + p.Addr(dev.PortCouch)}, User: account, PasswordFile: p.Path("passwords", account)}
	if nodes := p.Databases(); nodes != nil {
		c.URLs = nil
		for _, d := range nodes {
			c.URLs = append(c.URLs, d.URL)
		}
	}
	return c
}

// devDatabase returns the configuration of the only database node.
func devDatabase(p dev.Provider) bigcouch.Config {
	c := bigcouch.Config{
		Listen: p.Addr(dev.PortCouch), Dir: p.Path("couch"), KeyFiles: []string{p.Path("bigcouch", "store.key")},
	}
	for _, a := range dev.Accounts {
		c.Accounts = append(c.Accounts, bigcouch.ConfigAccount{
			Name: a.Name, PasswordFile: p.Path("passwords", a.Name), Roles: a.Roles, Admin: a.Admin,
		})
	}
	return c
}

// devCluster returns the configurations of several database nodes.
func devCluster(p dev.Provider) (list []bigcouch.Config) {
	var nodes []bigcouch.ConfigNode
	for _, d := range p.Databases() {
		nodes = append(nodes, bigcouch.ConfigNode{Name: d.Name, Peer: d.Peer})
	}
	for _, d := range p.Databases() {
		c := devDatabase(p)
		c.Listen, c.Dir, c.KeyFiles = d.Listen, d.Dir, []string{d.KeyFile}
		c.Cluster = &bigcouch.ConfigCluster{
			Node: d.Name, Listen: d.Peer, CertFile: d.CertFile, KeyFile: d.CertKey, CAFile: d.CAFile,
			Nodes: nodes, Placement: bigcouch.ConfigPlacement(nodes, 8, 3),
		}
		list = append(list, c)
	}
	return list
}

// addDatabases adds the processes of database nodes to g.
func addDatabases(g *daemon.Group, p dev.Provider, log *slog.Logger, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	configs := devCluster(p)
	for i, d := range p.Databases() {
		data, err := json.MarshalIndent(map[string]any{"daemon": daemon.Settings{}, "bigcouch": configs[i]}, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(d.Config, append(data, '\n'), 0o600); err != nil {
			return err
		}
		g.Add("bigcouch-"+d.Name, &process{
			argv: []string{self, "run", "bigcouch", "--config", d.Config}, pidFile: d.PIDFile, out: out, log: log,
		})
	}
	return nil
}

// A process is a service that runs as a process of its own, under this one.
type process struct {
	argv    []string
	pidFile string
	out     io.Writer // Takes what it prints.
	log     *slog.Logger
}

// stopTime is how long a process may take to stop.
const stopTime = 20 * time.Second

// Run implements daemon.Service.
func (p *process) Run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Stdout, cmd.Stderr = p.out, p.out
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTime
	if err := cmd.Start(); err != nil {
		return err
	}
	err := os.WriteFile(p.pidFile, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
	if err != nil {
		p.log.Warn("no pid file", "err", err)
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		err = errors.New("ended without being asked to")
	}
	return fmt.Errorf("process of its own: %w", err)
}
