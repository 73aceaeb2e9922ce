package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"leap.example/appliance/node"
)

// meshKey is the name of the key that the node makes for the mesh.
const meshKey = "mesh.key"

// clockFor is the default of [node.Time.Wait].
const clockFor = 30 * time.Second

// install makes the node what d says. It returns once services are started, not
// once they are healthy.
func (a *Agent) install(ctx context.Context, d node.Document, told func(string)) error {
	told("firewall, network, mesh")
	key, err := a.keys.Ensure(meshKey, a.parts.MeshKey)
	if err != nil {
		return err
	}
	if err := a.parts.Firewall(ctx, d); err != nil {
		return fmt.Errorf("firewall: %w", err)
	}
	if err := a.parts.Network(ctx, d.Network); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := a.parts.Mesh(ctx, d.Mesh, key); err != nil {
		return fmt.Errorf("mesh: %w", err)
	}
	_ = a.parts.Clock(ctx, d.Time, 0) // It is told whom to ask. Who needs the time waits below.
	var errs []error
	running, err := a.parts.Supervisor.List(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(running)) {
		if _, wanted := d.Services[name]; !wanted && name != "agent" {
			told("stopping " + name)
			errs = append(errs, a.parts.Supervisor.Stop(ctx, name), os.RemoveAll(filepath.Join(a.cfg.RunDir, name)))
		}
	}
	if err := a.parts.Tunnel(ctx, d); err != nil { // Whoever ran it has ended, or is to be started.
		errs = append(errs, fmt.Errorf("tunnel: %w", err))
	}
	clock := false // It was waited for.
	for _, late := range []bool{false, true} {
		for _, name := range slices.Sorted(maps.Keys(d.Services)) {
			s := d.Services[name]
			if s.Clock != late {
				continue
			}
			if late && !clock {
				a.awaitClock(ctx, d.Time, told)
				clock = true
			}
			if err := a.service(ctx, name, s, d.Secrets, told); err != nil {
				errs = append(errs, fmt.Errorf("service %s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// awaitClock waits for the time, but not for ever: certificates are checked
// with the clock that the machine has, rather than not at all.
func (a *Agent) awaitClock(ctx context.Context, t node.Time, told func(string)) {
	told("waiting for the time")
	if err := a.parts.Clock(ctx, t, t.Wait.Or(clockFor)); err != nil {
		a.log.WarnContext(ctx, "services start without knowing the time", "err", err)
		told(err.Error())
	}
}

// config returns a service's configuration as the service reads it.
func config(runDir, name string, s node.Service) ([]byte, error) {
	all := maps.Clone(s.Sections)
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	daemon, err := json.Marshal(map[string]string{"listen": socketIn(runDir, name)})
	if err != nil {
		return nil, err
	}
	all["daemon"] = daemon
	return json.Marshal(all)
}

func socketIn(runDir, name string) string { return filepath.Join(runDir, name, "health", "sock") }

func (a *Agent) socket(name string) string { return socketIn(a.cfg.RunDir, name) }

// service sees to it that a service runs with what the document gives it. One
// that does is left alone.
func (a *Agent) service(ctx context.Context, name string, s node.Service, digests map[string]string, told func(string)) error {
	text, err := config(a.cfg.RunDir, name, s)
	if err != nil {
		return err
	}
	secrets := map[string][]byte{}
	sum := sha256.New()
	sum.Write(text)
	for _, file := range slices.Sorted(maps.Keys(s.Files)) {
		fmt.Fprintf(sum, "file %q %q", file, s.Files[file])
	}
	for _, file := range slices.Sorted(maps.Keys(s.Secrets)) {
		digest := digests[s.Secrets[file]]
		if secrets[file], err = a.keys.Get(digest); err != nil {
			return fmt.Errorf("secret %s: %w", s.Secrets[file], err)
		}
		fmt.Fprintf(sum, "secret %q %q", file, digest)
	}
	limits, err := json.Marshal(s.Launch())
	if err != nil {
		return err
	}
	sum.Write(limits)
	want := hex.EncodeToString(sum.Sum(nil))
	dir := filepath.Join(a.cfg.RunDir, name)
	if have, err := os.ReadFile(filepath.Join(dir, "digest")); err == nil && string(have) == want {
		return a.parts.Supervisor.Start(ctx, name) // It may have been stopped.
	}
	told("starting " + name)
	if err := a.parts.Supervisor.Stop(ctx, name); err != nil {
		return err
	}
	if err := a.furnish(dir, name, s, text, limits, secrets); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "digest"), []byte(want), 0o400); err != nil {
		return err
	}
	return a.parts.Supervisor.Start(ctx, name)
}

// furnish writes what a service reads, into memory, and makes its directory on
// the writable partition. What it reads belongs to root and to its group.
func (a *Agent) furnish(dir, name string, s node.Service, text, limits []byte, secrets map[string][]byte) error {
	id, ok := node.ID(name)
	if !ok {
		return fmt.Errorf("there is no service %q", name)
	}
	memory := filepath.Join(dir, "memory")
	if err := empty(dir, memory); err != nil {
		return err
	}
	state := filepath.Join(a.cfg.StateDir, name)
	directory := func(path string, mode os.FileMode, uid int) error {
		err := os.MkdirAll(path, mode)
		if err == nil {
			err = a.own(path, mode, uid, id)
		}
		return err
	}
	err := errors.Join(os.MkdirAll(a.cfg.RunDir, 0o755), os.MkdirAll(a.cfg.StateDir, 0o755),
		directory(dir, 0o750, 0), directory(filepath.Join(dir, "health"), 0o750, id), directory(memory, 0o700, id), directory(state, 0o700, id),
		directory(filepath.Join(dir, "files"), 0o750, 0), directory(filepath.Join(dir, "secrets"), 0o750, 0))
	if err != nil {
		return err
	}
	write := func(path string, data []byte) error {
		if err := os.WriteFile(path, data, 0o440); err != nil {
			return err
		}
		return a.own(path, 0o440, 0, id)
	}
	errs := []error{write(filepath.Join(dir, "config.json"), text), os.WriteFile(filepath.Join(dir, "launch.json"), limits, 0o400)}
	for file, content := range s.Files {
		path := filepath.Join(dir, "files", file)
		for sub := filepath.Dir(path); sub != filepath.Join(dir, "files"); sub = filepath.Dir(sub) {
			errs = append(errs, directory(sub, 0o750, 0))
		}
		errs = append(errs, write(path, []byte(content)))
	}
	for file, value := range secrets {
		errs = append(errs, write(filepath.Join(dir, "secrets", file), value))
	}
	return errors.Join(errs...)
}

// empty removes what is in a directory, but for one path.
func empty(dir, except string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); path != except {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}

// own gives a file its mode and its owners.
func (a *Agent) own(path string, mode os.FileMode, uid, gid int) error {
	err := os.Chmod(path, mode)
	if a.cfg.Own {
		err = errors.Join(err, os.Chown(path, uid, gid))
	}
	return err
}
