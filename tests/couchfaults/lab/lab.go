package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Admin is the account of the lab's clients.
const Admin = "admin"

// Password is that of Admin.
const Password = "correct horse battery staple"

// Options say what a lab is made of.
type Options struct {
	Program string // Path of leapd.
	Foul    string // Path of what BuildFoul has built, if LaunchIn is used.
	Dir     string // Of everything that the lab writes. Made if it is not there.
	Nodes   int    // 1 is a node by itself, without a cluster.
	Voters  int    // Of each shard. 0: 3, or as many as there are nodes.

	MinFree uint64 // Bytes that must be free on a node's disk, or it refuses writes. 0: 1.
	Small   int64  // Bytes of a disk of its own for the last node. 0: none.
}

// A Lab is a cluster of nodes and the network between them.
type Lab struct {
	Nodes []*Node
	Disk  *Disk // Of the last node. Nil: that of the system.

	opts  Options
	ca    *authority
	turn  int // Of the placement.
	links []*link
	paths [][]*gate // paths[a][b] is what a's packets to b go through.
}

// New makes the nodes, none of them running. The caller ends with Close.
func New(o Options) (*Lab, error) {
	l := &Lab{opts: o}
	ports, err := freePorts(2 * o.Nodes)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "password"), []byte(Password), 0o600); err != nil {
		return nil, err
	}
	if err := l.connect(ports[o.Nodes:]); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if l.ca, err = newAuthority(o.Dir); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	for i := range o.Nodes {
		n := &Node{
			Name: name(i), URL: "http://" + addr(ports[i]), program: o.Program, foul: o.Foul, peerPort: ports[o.Nodes+i],
			Dir: filepath.Join(o.Dir, name(i), "db"), base: filepath.Join(o.Dir, name(i)),
		}
		l.Nodes = append(l.Nodes, n)
		err := os.MkdirAll(n.base, 0o700)
		if err == nil {
			err = l.ca.issue(n.Name, n.file("peer.crt"), n.file("peer.key"))
		}
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	if o.Small > 0 {
		last := l.Nodes[o.Nodes-1]
		at := last.file("disk")
		if err = os.Mkdir(at, 0o700); err == nil {
			l.Disk, err = NewDisk(at, o.Small)
		}
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		last.Dir = filepath.Join(l.Disk.Path, "db")
	}
	if err := l.Place(0); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// name returns the name of a node: a, b, c and so on.
func name(i int) string { return string(rune('a' + i)) }

func addr(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// Start starts every node that does not run and returns when all serve.
func (l *Lab) Start(ctx context.Context) error {
	for _, n := range l.Nodes {
		if !n.Running() {
			if err := n.Launch(); err != nil {
				return err
			}
		}
	}
	return l.Ready(ctx)
}

// Ready returns when all nodes serve.
func (l *Lab) Ready(ctx context.Context) error {
	for _, n := range l.Nodes {
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// URLs returns where the nodes serve.
func (l *Lab) URLs() []string {
	var urls []string
	for _, n := range l.Nodes {
		urls = append(urls, n.URL)
	}
	return urls
}

// Close kills all nodes and ends the network. Files stay.
func (l *Lab) Close() error {
	for _, n := range l.Nodes {
		n.Kill()
	}
	var errs []error
	for _, k := range l.links {
		errs = append(errs, k.close())
	}
	if l.Disk != nil {
		errs = append(errs, l.Disk.Close())
	}
	return errors.Join(errs...)
}

// freePorts returns ports that are free now. They are below those that the
// system gives to outgoing connections, so that they stay free while a node is
// down.
func freePorts(n int) ([]int, error) {
	var ports []int
	taken := map[int]bool{}
	for range 100 * n {
		port := 21000 + rand.IntN(11600)
		ln, err := net.Listen("tcp", addr(port))
		if err != nil || taken[port] {
			continue
		}
		if err := ln.Close(); err != nil {
			return nil, err
		}
		taken[port] = true
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("no free TCP ports")
}

// Poll calls f until it returns nil, ctx ends, or the patience does; then its
// last error is the error.
func Poll(ctx context.Context, what string, patience time.Duration, f func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("%s: not after %v: %w", what, patience, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond): // Between polls only.
		}
	}
}

// Logs returns the last lines that each node logged.
func (l *Lab) Logs(lines int) string {
	var b strings.Builder
	for _, n := range l.Nodes {
		fmt.Fprintf(&b, "--- node %s\n%s\n", n.Name, n.tail(lines))
	}
	return b.String()
}
