// Package vendor is who makes the client, as tests of whole processes see him:
// signers with keys of their own, a repository kept with updater/tufrepo as
// leap-sign keeps it, and a server of its public tree on loopback.
package vendor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"filippo.io/age"

	"leap.example/updater/target"
	"leap.example/updater/tufrepo"
)

// A Vendor has a repository.
type Vendor struct {
	Source string // URL.
	Root   string // File of the first root, as programs are built with.

	dir    string
	repo   *tufrepo.Repo
	keys   []*tufrepo.KeyFile
	online *tufrepo.KeyFile
	plan   target.Plan
	server *http.Server
}

// names are the signers, and what signs without people.
var names = []string{"alice", "bob", "rollout", "online"}

// New makes a vendor with an empty repository in a directory that is not there
// yet, and serves it until Close.
func New(ctx context.Context, dir string) (*Vendor, error) {
	v := &Vendor{dir: dir, plan: target.Plan{Schema: target.Schema}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	me, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	by := map[string]*tufrepo.PublicKey{}
	for _, name := range names {
		k, err := tufrepo.NewKeyFile(name, filepath.Join(dir, name+".key.age"), me.Recipient())
		if err != nil {
			return nil, err
		}
		by[name] = k.Public()
		v.keys = append(v.keys, k)
	}
	v.online = v.keys[len(v.keys)-1]
	policy := tufrepo.Policy{Name: "vendor.example", Roles: tufrepo.VendorRoles()}
	for i := range policy.Roles {
		switch r := &policy.Roles[i]; r.Role {
		case "snapshot", "timestamp":
			r.Keys = []*tufrepo.PublicKey{by["online"]}
		case "rollout":
			r.Keys = []*tufrepo.PublicKey{by["rollout"]}
		default:
			r.Keys, r.Threshold = []*tufrepo.PublicKey{by["alice"], by["bob"]}, 2
		}
	}
	e, err := tufrepo.Init(filepath.Join(dir, "repo"), policy, time.Now().UTC())
	if err != nil {
		return nil, err
	}
	if v.repo, err = tufrepo.Open(filepath.Join(dir, "repo")); err != nil {
		return nil, err
	}
	if err := v.publish(ctx, e); err != nil {
		return nil, err
	}
	v.Root = filepath.Join(v.repo.Public(), "metadata", "1.root.json")
	return v, v.serve(ctx)
}

func (v *Vendor) serve(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	v.Source = "http://" + ln.Addr().String() + "/"
	v.server = &http.Server{Handler: v.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go v.server.Serve(ln) // Until Close.
	return nil
}

// Handler serves the public tree.
func (v *Vendor) Handler() http.Handler { return http.FileServer(http.Dir(v.repo.Public())) }

// Close ends the server.
func (v *Vendor) Close() error { return v.server.Close() }

// publish has all signers sign an event, and makes it public.
func (v *Vendor) publish(ctx context.Context, e *tufrepo.Event) error {
	for _, k := range v.keys {
		if _, err := e.Sign(ctx, k); err != nil && !errors.Is(err, tufrepo.ErrNotSigner) {
			return fmt.Errorf("signing %s: %w", e.Name, err)
		}
	}
	return v.repo.Publish(ctx, e.Name, v.online, time.Now().UTC(), nil)
}

// Build builds the client as a version, a program at path.
func Build(ctx context.Context, version, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-X main.version="+version, "-o", path, "leap.example/client/cmd/leapc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building leapc %s: %w\n%s", version, err, out)
	}
	return nil
}

// Release signs a program as a version for this machine and publishes it, for all
// machines at once.
func (v *Vendor) Release(ctx context.Context, version, program string) error {
	now := time.Now().UTC()
	d := target.Description{
		Schema: target.Schema, Release: version, Variant: target.Client, Version: version, OS: runtime.GOOS, Arch: runtime.GOARCH,
		State: target.Range{Oldest: 1, Newest: 1}, LeastRAM: 64,
	}
	custom, err := d.Encode()
	if err != nil {
		return err
	}
	v.plan.Rollouts = append(v.plan.Rollouts, target.Rollout{Release: version, Begins: now.Add(-time.Minute), Waves: []target.Wave{{Percent: 100}}})
	plan, err := v.plan.Encode()
	if err != nil {
		return err
	}
	file := filepath.Join(v.dir, target.PlanPath)
	if err := os.WriteFile(file, plan, 0o600); err != nil {
		return err
	}
	e, err := v.repo.Change(ctx, version, "the release "+version, []tufrepo.Addition{
		{Path: d.Path(), File: program, Custom: json.RawMessage(custom)},
		{Path: target.PlanPath, File: file},
	}, nil, now, nil)
	if err != nil {
		return err
	}
	return v.publish(ctx, e)
}
