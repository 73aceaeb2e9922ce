package netstack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.zx2c4.com/wireguard/device"

	"leap.example/services/gateway"
	"leap.example/services/protocol/lease"
)

// A Plane is one data plane. It satisfies gateway.Peers; Limits and Flows
// return its other sides.
type Plane struct {
	cfg    gateway.Config
	rules  rules
	meters *meters
	flows  *flows

	mu  sync.Mutex     // Guards dev, and orders calls of it.
	dev *device.Device // Nil while Run does not run.
}

var errDown = errors.New("the data plane is not running")

// New returns a data plane. It touches neither network nor disk.
func New(cfg gateway.Config) (*Plane, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	r, err := newRules(cfg)
	if err != nil {
		return nil, err
	}
	return &Plane{cfg: cfg, rules: r, meters: newMeters(cfg.Rate), flows: &flows{}}, nil
}

// Run carries packets until ctx is done. The peers of an earlier run are gone.
func (p *Plane) Run(ctx context.Context) error {
	key, err := gateway.ReadKey(p.cfg.WGKeyFile)
	if err != nil {
		return err
	}
	s, err := newStack(p)
	if err != nil {
		return err
	}
	b := &bind{listen: p.cfg.WGListen}
	dev := device.NewDevice(s, b, &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf})
	p.flows.open()
	defer p.flows.close() // After the stack, which begins them.
	defer dev.Close()
	if err := dev.IpcSet("private_key=" + key.Hex() + "\n"); err != nil {
		return errors.New("the data plane refuses its key")
	}
	if err := dev.Up(); err != nil {
		return fmt.Errorf("data plane: %w", err)
	}
	p.mu.Lock()
	p.dev = dev
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.dev = nil
	p.mu.Unlock()
	return nil
}

// Set implements gateway.Peers.
func (p *Plane) Set(_ context.Context, peers ...gateway.Peer) error {
	return p.configure(setText(peers))
}

// Remove implements gateway.Peers.
func (p *Plane) Remove(_ context.Context, keys ...lease.Key) error {
	return p.configure(removeText(keys))
}

func (p *Plane) configure(text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dev == nil {
		return errDown
	}
	if p.dev.IpcSet(text) != nil { // Its text may name a peer.
		return errors.New("the data plane refuses a peer")
	}
	return nil
}

// List implements gateway.Peers.
func (p *Plane) List(context.Context) ([]gateway.PeerState, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dev == nil {
		return nil, errDown
	}
	text, err := p.dev.IpcGet()
	if err != nil {
		return nil, errors.New("the data plane does not tell its peers")
	}
	return parsePeers(text)
}

// Limits returns p's meters.
func (p *Plane) Limits() gateway.Limits { return limits{p.meters} }

// Flows returns p's flows.
func (p *Plane) Flows() gateway.Flows { return forgetful{p.flows} }

// DataPlane returns p as the gateway takes it.
func (p *Plane) DataPlane() gateway.DataPlane {
	return gateway.DataPlane{Peers: p, Limits: p.Limits(), Flows: p.Flows()}
}

type limits struct{ m *meters }

// Set implements gateway.Limits.
func (l limits) Set(_ context.Context, addrs []netip.Addr) error {
	l.m.limit(addrs)
	return nil
}

// Add implements gateway.Limits.
func (l limits) Add(_ context.Context, addrs []netip.Addr) error {
	l.m.add(addrs)
	return nil
}

// Remove implements gateway.Limits.
func (l limits) Remove(_ context.Context, addrs []netip.Addr) error {
	l.m.remove(addrs)
	return nil
}

type forgetful struct{ f *flows }

// Forget implements gateway.Flows.
func (f forgetful) Forget(_ context.Context, addrs []netip.Addr) error {
	f.f.forget(addrs)
	return nil
}
