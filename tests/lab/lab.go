package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"leap.example/appliance/efi"
	"leap.example/appliance/node"
	"leap.example/image/disk"
	"leap.example/image/uki"
	"leap.example/qemu/cluster"
	"leap.example/qemu/vm"
)

const (
	// Patience is for one step on a machine that is busy and has no KVM.
	Patience = 10 * time.Minute
	// tellEvery is how often what takes long says why.
	tellEvery = time.Minute
)

// A Lab is the cluster of an operator. Whatever goes wrong fails the test.
type Lab struct {
	*cluster.Cluster
	Op  *Operator
	Dir string

	t testing.TB
}

// Options say what is not in the instance.
type Options struct {
	Memory       map[string]int // Of nodes, in MiB. "": of the others.
	CaptureBytes int
	CaptureFile  string
	Artefacts    string // Where a test that fails leaves consoles, logs and a capture.
	// Names are of the world outside; without addresses, nothing is known of them.
	Names map[string][]netip.Addr
	// Without are nodes of the instance that are no machines.
	Without []string
}

// New builds the release and a disk image, and makes the machines of an
// instance's nodes. It skips the test without QEMU.
func New(t testing.TB, dir string, op *Operator, o Options) *Lab {
	t.Helper()
	if _, err := vm.Open(t.Context(), vm.Options{Accel: vm.TCG}); errors.Is(err, vm.ErrMissing) {
		t.Skip(err)
	}
	l := &Lab{Op: op, Dir: dir, t: t}
	i, _ := op.Open()
	config, err := cluster.Of(i, "", op.Secrets())
	op.check(err)
	maps.Copy(config.Names, o.Names)
	config.Nodes = slices.DeleteFunc(config.Nodes, func(n cluster.NodeConfig) bool { return slices.Contains(o.Without, n.Name) })
	for k := range config.Nodes {
		n := &config.Nodes[k]
		n.Memory = o.Memory[n.Name]
		if n.Memory == 0 {
			n.Memory = o.Memory[""]
		}
	}
	config.Dir, config.Image = filepath.Join(dir, "lab"), filepath.Join(dir, "image")
	config.CaptureBytes, config.CaptureFile = o.CaptureBytes, o.CaptureFile
	l.Step("release and disk image are made", func() { config.Release = l.image(config.Image) })
	l.Cluster, err = cluster.Open(t.Context(), config)
	op.check(err)
	op.Access.Dial = l.Dial
	t.Cleanup(func() { l.end(o.Artefacts) })
	name, why := l.Accel()
	t.Logf("           %d machines on %s (%s)", len(config.Nodes), name, why)
	return l
}

// image builds the release, which it returns, and a disk image with it.
func (l *Lab) image(path string) []byte {
	l.t.Helper()
	build, err := uki.Make(l.t.Context(), uki.Options{
		Release: efi.Release{
			Version: "0.0.1", OldestSchema: node.OldestSchema, NewestSchema: node.Schema, LeastRAM: 256,
			Built: time.Now().UTC().Truncate(24 * time.Hour),
		},
		Source: "../..", Services: slices.Concat([]string{"agent"}, node.Services()),
	})
	l.Op.check(err)
	l.Op.check(disk.Write(l.t.Context(), path, disk.Options{UKI: build.UKI, BootLoader: build.BootLoader}, nil))
	return build.UKI
}

// end switches all off, and leaves what a failed test needs.
func (l *Lab) end(artefacts string) {
	var errs []error
	if l.t.Failed() {
		dir := filepath.Join(artefacts, l.t.Name())
		errs = append(errs, os.RemoveAll(dir), l.Save(dir))
		for _, n := range l.Nodes() {
			if !on(n) {
				continue
			}
			if err := l.saveLogs(n.Name(), filepath.Join(dir, n.Name()+".log")); err != nil {
				l.t.Logf("the logs of %s are not to be had: %v", n.Name(), err)
			}
		}
		l.t.Logf("consoles, logs and a capture are in %s", dir)
	}
	if err := errors.Join(append(errs, l.Close())...); err != nil {
		l.t.Error(err)
	}
}

// on reports whether a node has power.
func on(n *cluster.Node) bool {
	m := n.Machine()
	if m == nil {
		return false
	}
	select {
	case <-m.Done():
		return false
	default:
		return true
	}
}

// saveLogs asks an agent for what all services of its node wrote.
func (l *Lab) saveLogs(name, path string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.t.Context()), 30*time.Second)
	defer cancel()
	var text bytes.Buffer
	err := l.Op.Client(name).Logs(ctx, "", 5000, false, func(line node.LogLine) error {
		_, err := fmt.Fprintf(&text, "%s %s: %s\n", line.Time.Format(time.RFC3339Nano), line.Service, line.Text)
		return err
	})
	return errors.Join(err, os.WriteFile(path, text.Bytes(), 0o600))
}

// Step does a step, and tells how long it took.
func (l *Lab) Step(what string, do func()) {
	l.t.Helper()
	begin := time.Now()
	do()
	l.t.Logf("%6.1f s  %s", time.Since(begin).Seconds(), what)
}

// Until does something until it succeeds. What takes long says why.
func (l *Lab) Until(what string, do func(context.Context) error) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), Patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	tell := time.Now().Add(tellEvery)
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		if time.Now().After(tell) {
			l.t.Logf("           %s: not yet: %v", what, err)
			tell = time.Now().Add(tellEvery)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			l.t.Fatalf("%s: not in %v: %v", what, Patience, err)
		}
	}
}

// Status waits until a node's status is as it should be; wrong says what is not.
func (l *Lab) Status(name string, wrong func(node.Status) error) (s node.Status) {
	l.t.Helper()
	client, machine := l.Op.Client(name), l.Node(name).Machine()
	l.Until(name+" is as it should be", func(ctx context.Context) (err error) {
		select {
		case <-machine.Done():
			l.t.Fatalf("the machine of %s has ended", name)
		default:
		}
		if s, err = client.Status(ctx); err != nil {
			return err
		}
		return wrong(s)
	})
	return s
}

// Healthy waits until all services of a node are.
func (l *Lab) Healthy(name string) node.Status {
	l.t.Helper()
	return l.Status(name, l.healthy(name))
}

// healthy is wrong unless every service that a node shall have is healthy.
func (l *Lab) healthy(name string) func(node.Status) error {
	i, _ := l.Op.Open()
	runs := i.Node(name).Runs
	return func(s node.Status) error {
		var errs []error
		for _, name := range runs {
			if one, ok := s.Services[name]; !ok || !one.Healthy {
				errs = append(errs, fmt.Errorf("%s: %+v", name, one))
			}
		}
		return errors.Join(errs...)
	}
}

// Restarted waits until a node has started anew since before, and is healthy.
func (l *Lab) Restarted(name string, before node.Status) node.Status {
	l.t.Helper()
	healthy := l.healthy(name)
	s := l.Status(name, func(now node.Status) error {
		if now.Booted.Equal(before.Booted) {
			return errors.New("it has not started anew")
		}
		return healthy(now)
	})
	if s.Current != before.Current || len(s.Trouble) > 0 {
		l.t.Errorf("%s started anew: %+v", name, s)
	}
	return s
}

// Same fails if a service of a node is another process than before, but for some.
func (l *Lab) Same(name string, before node.Status, except ...string) {
	l.t.Helper()
	now := l.Healthy(name)
	for _, service := range slices.Sorted(maps.Keys(before.Services)) {
		was, is := before.Services[service], now.Services[service]
		if is.PID != was.PID && !slices.Contains(except, service) {
			l.t.Errorf("%s of %s was %+v, and is %+v", service, name, was, is)
		}
	}
}

// Meet writes the mesh keys that nodes have made into the instance, as "leap node
// init" does.
func (l *Lab) Meet() {
	l.t.Helper()
	for _, n := range l.Nodes() {
		s := l.Status(n.Name(), func(node.Status) error { return nil })
		if s.MeshKey == "" || s.Current.Number != 0 || len(s.Trouble) > 0 {
			l.t.Errorf("%s is new: %+v", n.Name(), s)
		}
		l.Op.Set("nodes/"+n.Name()+".json", "/mesh/public_key", s.MeshKey)
	}
}
