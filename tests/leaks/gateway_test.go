package leaks_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"github.com/miekg/dns"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"leap.example/services/protocol/lease"
)

// A peer is a gateway that the test has made: WireGuard on a TUN, forwarding, and a
// resolver on the tunnel's addresses.
type peer struct {
	key, client, psk         lease.Key // Its own, the client's, theirs.
	endpoint                 netip.AddrPort
	addr4, addr6, dns4, dns6 netip.Addr // The client's, its own.

	process *process
	control io.WriteCloser
}

// gatewayAbout is what the gateway's process is told.
type gatewayAbout struct {
	Device                   string
	Port                     uint16
	Key, Client, PSK         lease.Key
	Addr4, Addr6, DNS4, DNS6 netip.Addr
}

func newKey() (k lease.Key) {
	_, _ = rand.Read(k[:]) // Never fails.
	return k
}

// startGateway runs the gateway i.
func (w *world) startGateway(i int) *peer {
	w.Helper()
	g := &peer{
		key: newKey(), client: newKey(), psk: newKey(), endpoint: endpoints[i],
		addr4: netip.AddrFrom4([4]byte{10, byte(64 + i), 0, 2}), dns4: netip.AddrFrom4([4]byte{10, byte(64 + i), 0, 1}),
		addr6: netip.MustParseAddr(fmt.Sprintf("fd00:6%d::2", 4+i)), dns6: netip.MustParseAddr(fmt.Sprintf("fd00:6%d::1", 4+i)),
	}
	cmd := w.role("gateway", gatewayAbout{
		Device: fmt.Sprintf("wg%d", i), Port: g.endpoint.Port(), Key: g.key, Client: g.client.Public(), PSK: g.psk,
		Addr4: g.addr4, Addr6: g.addr6, DNS4: g.dns4, DNS6: g.dns6,
	})
	out, in, err := os.Pipe()
	w.must(err)
	ready, told, err := os.Pipe()
	w.must(err)
	cmd.Stdin, cmd.ExtraFiles = out, []*os.File{told}
	g.process, g.control = w.start(w.gateway, cmd), in
	out.Close()
	told.Close()
	w.Cleanup(func() { in.Close() })
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		w.Fatalf("the gateway does not start: %v", err)
	}
	ready.Close()
	return g
}

func gatewayRole() error {
	var a gatewayAbout
	if err := json.Unmarshal([]byte(os.Getenv("LEAKS_ABOUT")), &a); err != nil {
		return err
	}
	t, err := tun.CreateTUN(a.Device, device.DefaultMTU)
	if err != nil {
		return err
	}
	d := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, "gateway: "))
	err = d.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\npreshared_key=%s\nallowed_ip=%v/32\nallowed_ip=%v/128\n",
		a.Key.Hex(), a.Port, a.Client.Hex(), a.PSK.Hex(), a.Addr4, a.Addr6))
	if err != nil {
		return err
	}
	if err := d.Up(); err != nil {
		return err
	}
	if err := addAddresses(a.Device, a.DNS4.String()+"/32", a.DNS6.String()+"/128"); err != nil {
		return err
	}
	if err := errors.Join(addRoute(a.Device, a.Addr4.String()+"/32", "", 0), addRoute(a.Device, a.Addr6.String()+"/128", "", 0)); err != nil {
		return err
	}
	for _, addr := range []netip.Addr{a.DNS4, a.DNS6} {
		if err := resolver(addr); err != nil {
			return err
		}
	}
	if _, err := os.NewFile(3, "ready").Write([]byte{1}); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // Until the test ends.
	d.Close()
	return nil
}

// resolver answers every question with the server's address.
func resolver(addr netip.Addr) error {
	at := netip.AddrPortFrom(addr, 53).String()
	packets, err := net.ListenPacket("udp", at)
	if err != nil {
		return err
	}
	answer := dns.HandlerFunc(func(rw dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(server4),
			})
		}
		_ = rw.WriteMsg(m) // The client asks again.
	})
	go func() { _ = (&dns.Server{PacketConn: packets, Handler: answer}).ActivateAndServe() }()
	return nil
}
