package lab

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"

	"leap.example/qemu/vnet"
)

// A Member is this process as a node of the mesh, by a WireGuard of its own: the
// databases of nodes listen nowhere else.
type Member struct {
	*netstack.Net
	host   *vnet.Host
	device *device.Device
}

// Join makes this process the node of that name, which the instance gets, at an
// address of the LAN. To be called before anything is deployed; Connect then.
func (op *Operator) Join(name string, address netip.Addr) *ecdh.PrivateKey {
	op.t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	op.check(err)
	op.AddNode(name, "ip_address:"+address.String())
	op.Set("nodes/"+name+".json", "/mesh/public_key", base64.StdEncoding.EncodeToString(key.PublicKey().Bytes()))
	return key
}

// Connect brings the node of [Operator.Join] up, until the test ends.
func (l *Lab) Connect(name string, key *ecdh.PrivateKey) *Member {
	l.t.Helper()
	i, _ := l.Op.Open()
	own, mesh := i.Node(name), i.Provider("").Mesh
	host, err := l.LAN().Host(name, vnet.HostConfig{Addrs: []netip.Prefix{netip.PrefixFrom(own.IPAddress, 24)}})
	l.Op.check(err)
	m := &Member{host: host}
	card, stack, err := netstack.CreateNetTUN([]netip.Addr{own.Mesh.Address}, nil, 1420)
	l.Op.check(err)
	m.Net = stack
	at := netip.AddrPortFrom(own.IPAddress, mesh.Port)
	m.device = device.NewDevice(card, &bind{host: host, at: at}, device.NewLogger(device.LogLevelSilent, ""))
	l.t.Cleanup(func() {
		m.device.Close()
		l.Op.check(host.Close())
	})
	var config strings.Builder
	fmt.Fprintf(&config, "private_key=%s\nlisten_port=%d\n", hex.EncodeToString(key.Bytes()), mesh.Port)
	for _, n := range i.In("", "") {
		public, err := base64.StdEncoding.DecodeString(n.Mesh.PublicKey)
		l.Op.check(err)
		if n.Name != name {
			fmt.Fprintf(&config, "public_key=%s\nendpoint=%v\nallowed_ip=%v/32\n",
				hex.EncodeToString(public), netip.AddrPortFrom(n.IPAddress, mesh.Port), n.Mesh.Address)
		}
	}
	l.Op.check(errors.Join(m.device.IpcSet(config.String()), m.device.Up()))
	l.answer(m, netip.AddrPortFrom(own.Mesh.Address, i.Provider("").Agent.Port))
	return m
}

// answer has the member be reached where an agent would be, since nodes look
// whether their neighbours are there.
func (l *Lab) answer(m *Member, at netip.AddrPort) {
	l.t.Helper()
	ln, err := m.ListenTCPAddrPort(at)
	l.Op.check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // Closed.
			}
			_ = conn.Close() // It was only to be opened.
		}
	}()
	l.t.Cleanup(func() {
		_ = ln.Close() // Its end is seen below.
		<-done
	})
}

// A bind is WireGuard's socket on the LAN.
type bind struct {
	host *vnet.Host
	at   netip.AddrPort

	mu     sync.Mutex
	socket net.PacketConn // Nil when it is closed.
}

// Open implements [conn.Bind].
func (b *bind) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.socket != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	socket, err := b.host.ListenUDP(b.at)
	if err != nil {
		return nil, 0, err
	}
	b.socket = socket
	receive := func(packets [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
		n, addr, err := socket.ReadFrom(packets[0])
		if err != nil {
			return 0, net.ErrClosed
		}
		sizes[0], from[0] = n, &conn.StdNetEndpoint{AddrPort: addr.(*net.UDPAddr).AddrPort()}
		return 1, nil
	}
	return []conn.ReceiveFunc{receive}, b.at.Port(), nil
}

// Close implements [conn.Bind].
func (b *bind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.socket == nil {
		return nil
	}
	err := b.socket.Close()
	b.socket = nil
	return err
}

// Send implements [conn.Bind].
func (b *bind) Send(packets [][]byte, to conn.Endpoint) error {
	b.mu.Lock()
	socket := b.socket
	b.mu.Unlock()
	if socket == nil {
		return net.ErrClosed
	}
	for _, p := range packets {
		if _, err := socket.WriteTo(p, net.UDPAddrFromAddrPort(to.(*conn.StdNetEndpoint).AddrPort)); err != nil {
			return err
		}
	}
	return nil
}

// ParseEndpoint implements [conn.Bind].
func (b *bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	a, err := netip.ParseAddrPort(s)
	return &conn.StdNetEndpoint{AddrPort: a}, err
}

// SetMark implements [conn.Bind].
func (b *bind) SetMark(uint32) error { return nil }

// BatchSize implements [conn.Bind].
func (b *bind) BatchSize() int { return 1 }
