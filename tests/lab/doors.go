package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/miekg/dns"

	"leap.example/appliance/node"
)

// doorNet is the network of loopback in which the ports of nodes are: programs on
// this machine have no foot on the LAN. A node has there the last two bytes of its
// address.
const doorNet = "127.77.0.0"

// door is where a node is for programs on this machine.
func door(a netip.Addr) netip.Addr {
	net, own := netip.MustParseAddr(doorNet).As4(), a.As4()
	return netip.AddrFrom4([4]byte{net[0], net[1], own[2], own[3]})
}

// Doors brings the public ports of all nodes to this machine, until the test ends,
// with a name server that says so, whose address it returns. We have to be allowed
// to listen below port 1024.
func (l *Lab) Doors() (resolver string) {
	l.t.Helper()
	i, _ := l.Op.Open()
	var names []string
	for _, n := range l.Nodes() {
		names = append(names, n.Name())
	}
	targets, _ := l.Op.Targets(names...)
	for _, target := range targets {
		address := i.Node(target.Document.Node).IPAddress
		for _, port := range PublicPorts(target.Document) {
			p := strconv.Itoa(port)
			f, err := l.Lab().Forward("tcp", net.JoinHostPort(door(address).String(), p), net.JoinHostPort(address.String(), p))
			l.Op.check(err)
			l.t.Cleanup(func() { l.Op.check(f.Close()) })
		}
	}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	l.Op.check(err)
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(l.atDoors)}
	ended, started := make(chan error, 1), make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() { ended <- server.ActivateAndServe() }()
	<-started
	l.t.Cleanup(func() { l.Op.check(errors.Join(server.Shutdown(), <-ended)) })
	return packets.LocalAddr().String()
}

// PublicPorts are the TCP ports of a document's services for everybody.
func PublicPorts(d node.Document) (list []int) {
	for _, s := range d.Services {
		for _, p := range s.Listeners {
			if p.Protocol == "tcp" && p.From == "public" {
				list = append(list, int(p.Port))
			}
		}
	}
	return list
}

// atDoors passes a question on to the LAN, and says doors for the addresses that
// come back.
func (l *Lab) atDoors(w dns.ResponseWriter, q *dns.Msg) {
	answer, err := l.lookup(q)
	if err != nil {
		answer = new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
	}
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			if ip, ok := netip.AddrFromSlice(a.A.To4()); ok {
				a.A = door(ip).AsSlice()
			}
		}
	}
	_ = w.WriteMsg(answer) // Who asked asks again.
}

// lookup asks the lab's name server, which asks the provider's.
func (l *Lab) lookup(q *dns.Msg) (*dns.Msg, error) {
	conn, err := l.Dial(context.Background(), "udp", netip.AddrPortFrom(l.Addrs()[0].Addr(), 53).String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // The answer is read, or an error returned.
	answer, _, err := new(dns.Client).ExchangeWithConn(q, &dns.Conn{Conn: conn})
	return answer, err
}

// Leapc builds the client into the lab's directory.
func (l *Lab) Leapc() string {
	l.t.Helper()
	path := filepath.Join(l.Dir, "leapc")
	cmd := exec.CommandContext(l.t.Context(), "go", "build", "-o", path, "leap.example/client/cmd/leapc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %s", err, out)
	}
	return path
}
