package lab

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"leap.example/appliance/node"
	"leap.example/image/disk"
	"leap.example/qemu/cluster"
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
	Firmware     bool           // See [cluster.Config].
	CaptureBytes int
	CaptureFile  string
	Artefacts    string // Where a test that fails leaves consoles, logs and a capture.
	// Names are of the world outside; without addresses, nothing is known of them.
	Names map[string][]netip.Addr
	// Without are nodes of the instance that are no machines.
	Without []string
}

// New builds the release and a disk image, and makes the machines of an
// instance's nodes.
func New(t testing.TB, dir string, op *Operator, o Options) *Lab {
	t.Helper()
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
	config.Firmware = o.Firmware
	config.CaptureBytes, config.CaptureFile = o.CaptureBytes, o.CaptureFile
	l.Step("release and disk image are made", func() {
		build, err := Release(t.Context())
		op.check(err)
		op.check(disk.Write(t.Context(), config.Image, disk.Options{UKI: build.UKI, BootLoader: build.BootLoader}, nil))
		config.Release = build.UKI
	})
	l.Cluster, err = cluster.Open(t.Context(), config)
	op.check(err)
	op.Access.Dial = l.Dial
	t.Cleanup(func() { l.end(o.Artefacts) })
	name, why := l.Accel()
	t.Logf("           %d machines on %s (%s)", len(config.Nodes), name, why)
	return l
}

// end switches all off, and leaves what a failed test needs.
func (l *Lab) end(artefacts string) {
	var errs []error
	if l.t.Failed() {
		dir := filepath.Join(artefacts, l.t.Name())
		errs = append(errs, os.RemoveAll(dir), l.Save(dir))
		for _, n := range l.Nodes() {
			if !n.On() {
				continue
			}
			if err := l.Op.SaveLogs(n.Name(), filepath.Join(dir, n.Name()+".log")); err != nil {
				l.t.Logf("the logs of %s are not to be had: %v", n.Name(), err)
			}
		}
		l.t.Logf("consoles, logs and a capture are in %s", dir)
	}
	if err := errors.Join(append(errs, l.Close())...); err != nil {
		l.t.Error(err)
	}
}

// Step does a step, and tells how long it took.
func (l *Lab) Step(what string, do func()) {
	l.t.Helper()
	Step(l.t, what, do)
}

// Until does something until it succeeds. What takes long says why.
func (l *Lab) Until(what string, do func(context.Context) error) {
	l.t.Helper()
	Until(l.t, what, do)
}

// Status waits until a node's status is as it should be; wrong says what is not.
func (l *Lab) Status(name string, wrong func(node.Status) error) node.Status {
	l.t.Helper()
	return Status(l.t, name, l.Op.Client(name), l.Node(name).Machine(), wrong)
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
	return func(s node.Status) error { return Healthy(s, runs) }
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
