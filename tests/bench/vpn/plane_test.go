package vpn_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"leap.example/services/gateway"
	"leap.example/services/protocol/lease"
)

// known are the peers that a data plane was told of: one that carries nothing.
type known struct {
	mu  sync.Mutex
	all map[lease.Key]bool
}

// Set implements gateway.Peers.
func (k *known) Set(_ context.Context, peers ...gateway.Peer) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil {
		k.all = map[lease.Key]bool{}
	}
	for _, p := range peers {
		k.all[p.PublicKey] = true
	}
	return nil
}

// Remove implements gateway.Peers.
func (k *known) Remove(_ context.Context, keys ...lease.Key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		delete(k.all, key)
	}
	return nil
}

// List implements gateway.Peers. All peers seem to be in use: none is to be
// forgotten while it is measured.
func (k *known) List(context.Context) (list []gateway.PeerState, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.all {
		list = append(list, gateway.PeerState{PublicKey: key, LastHandshake: time.Now()})
	}
	return list, nil
}

// Forget implements gateway.Flows: nothing keeps track of flows here.
func (k *known) Forget(context.Context, []netip.Addr) error { return nil }

// unlimited limits nobody.
type unlimited struct{}

// Set implements gateway.Limits.
func (unlimited) Set(context.Context, []netip.Addr) error { return nil }

// Add implements gateway.Limits.
func (unlimited) Add(context.Context, []netip.Addr) error { return nil }

// Remove implements gateway.Limits.
func (unlimited) Remove(context.Context, []netip.Addr) error { return nil }

// A tunPlane is wireguard-go on a TUN device, behind which the kernel forwards.
type tunPlane struct {
	known
	cfg gateway.Config

	mu  sync.Mutex     // Guards dev.
	dev *device.Device // Nil: not yet.
}

// run carries packets until ctx is done.
func (t *tunPlane) run(ctx context.Context) error {
	key, err := gateway.ReadKey(t.cfg.WGKeyFile)
	if err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(t.cfg.WGListen[0])
	if err != nil {
		return err
	}
	link, err := tun.CreateTUN("wg0", t.cfg.MTU)
	if err != nil {
		return err
	}
	dev := device.NewDevice(link, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, "tunnel: "))
	defer dev.Close()
	if err := dev.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\n", key.Hex(), at.Port())); err != nil {
		return err
	}
	if err := dev.Up(); err != nil {
		return err
	}
	if err := addAddresses("wg0", t.cfg.Own()[0].String()+"/32"); err != nil {
		return err
	}
	if err := addRoute("wg0", t.cfg.IPv4.String(), "", ""); err != nil {
		return err
	}
	t.mu.Lock()
	t.dev = dev
	t.mu.Unlock()
	<-ctx.Done()
	return nil
}

// configure changes the device.
func (t *tunPlane) configure(text string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dev == nil {
		return errors.New("the tunnel is not there yet")
	}
	return t.dev.IpcSet(text)
}

// Set implements gateway.Peers.
func (t *tunPlane) Set(ctx context.Context, peers ...gateway.Peer) error {
	var text strings.Builder
	for _, p := range peers {
		fmt.Fprintf(&text, "public_key=%s\npreshared_key=%s\nreplace_allowed_ips=true\n", p.PublicKey.Hex(), p.PSK.Hex())
		for _, a := range p.Addresses {
			fmt.Fprintf(&text, "allowed_ip=%s\n", a)
		}
	}
	return errors.Join(t.configure(text.String()), t.known.Set(ctx, peers...))
}

// Remove implements gateway.Peers.
func (t *tunPlane) Remove(ctx context.Context, keys ...lease.Key) error {
	var text strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&text, "public_key=%s\nremove=true\n", k.Hex())
	}
	return errors.Join(t.configure(text.String()), t.known.Remove(ctx, keys...))
}
