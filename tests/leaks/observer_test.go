package leaks_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A frame is a packet that the client sent, as far as it matters here.
type frame struct {
	arp      bool
	reply    bool // Of ARP.
	proto    byte // Of IP.
	hops     byte
	src, dst netip.Addr // Of ARP: sender and target.
	sport    uint16
	dport    uint16
	payload  []byte // Of UDP, the beginning; of ICMP all.
	size     int    // Of the whole payload, bytes.
}

func (f frame) String() string {
	if f.arp {
		return fmt.Sprintf("ARP reply=%v %v>%v", f.reply, f.src, f.dst)
	}
	return fmt.Sprintf("proto %d %v:%d>%v:%d %x", f.proto, f.src, f.sport, f.dst, f.dport, f.payload[:min(8, len(f.payload))])
}

// parseFrame reads Ethernet. What it does not understand is a frame of nothing,
// which is a leak.
func parseFrame(b []byte) (f frame) {
	if len(b) < 14 {
		return f
	}
	kind, b := binary.BigEndian.Uint16(b[12:]), b[14:]
	switch {
	case kind == unix.ETH_P_ARP && len(b) >= 28:
		f.arp, f.reply = true, b[7] == 2
		f.src, _ = netip.AddrFromSlice(b[14:18])
		f.dst, _ = netip.AddrFromSlice(b[24:28])
		return f
	case kind == unix.ETH_P_IP && len(b) >= 20:
		f.proto, f.hops = b[9], b[8]
		f.src, _ = netip.AddrFromSlice(b[12:16])
		f.dst, _ = netip.AddrFromSlice(b[16:20])
		b = b[min(len(b), int(b[0]&15)*4):]
	case kind == unix.ETH_P_IPV6 && len(b) >= 40:
		f.proto, f.hops = b[6], b[7]
		f.src, _ = netip.AddrFromSlice(b[8:24])
		f.dst, _ = netip.AddrFromSlice(b[24:40])
		b = b[40:]
		if f.proto == 0 && len(b) >= 8 { // Hop-by-hop options, of multicast listeners.
			f.proto, b = b[0], b[min(len(b), 8+int(b[1])*8):]
		}
	default:
		return f
	}
	switch {
	case (f.proto == unix.IPPROTO_TCP || f.proto == unix.IPPROTO_UDP) && len(b) >= 8:
		f.sport, f.dport, f.payload = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[8:]
	case f.proto == unix.IPPROTO_ICMPV6 || f.proto == unix.IPPROTO_ICMP:
		f.payload = b
	}
	return f
}

// needed reports whether a computer without a tunnel to use has to send f to
// keep its network: neighbours, and who wants what multicast. Nobody learns of
// the tunnel's address by it.
func (f frame) needed() bool {
	if f.arp {
		return !tunnelNet.Contains(f.src)
	}
	if f.proto != unix.IPPROTO_ICMPV6 || len(f.payload) == 0 {
		return false
	}
	kind := f.payload[0]
	if len(f.payload) < 24 && kind != 133 && kind != 143 {
		return false
	}
	switch kind {
	case 133, 135: // Solicitations of routers and neighbours.
		return f.hops == 255
	case 136:
		target, _ := netip.AddrFromSlice(f.payload[8:24])
		return f.hops == 255 && !tunnelNet6.Contains(target)
	case 131, 132, 143:
		return f.hops == 1
	}
	return false
}

// wireguard reports whether f is a message of WireGuard to the gateway.
func (f frame) wireguard() bool {
	return f.proto == unix.IPPROTO_UDP && slices.Contains(endpoints, netip.AddrPortFrom(f.dst, f.dport)) &&
		len(f.payload) >= 32 && f.payload[0] >= 1 && f.payload[0] <= 4 && f.payload[1] == 0 && f.payload[2] == 0 && f.payload[3] == 0
}

// idle reports whether f is what a tunnel sends by itself: a handshake or a
// keepalive, which is a message of data with nothing in it (32 bytes).
func (f frame) idle() bool { return f.wireguard() && (f.payload[0] != 4 || f.size == 32) }

// An observer captures what the client sends by one cable.
type observer struct {
	fd    int
	out   int // For frames of ours: a socket does not see its own.
	index int
	done  chan struct{}

	mu     sync.Mutex // Guards what follows.
	allow  func(frame) bool
	seen   []frame // What was neither needed nor allowed.
	all    int
	fences map[uint32]bool
	tokens uint32
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

// observe listens on a plug of this namespace.
func observe(t *testing.T, plug string) *observer {
	t.Helper()
	l, err := netlink.LinkByName(plug)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skipf("SKIPPED: nobody may capture packets here: %v", err)
	}
	out, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{fd: fd, out: out, index: l.Attrs().Index, done: make(chan struct{}), fences: map[uint32]bool{}}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100000})
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: o.index}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	go o.run(stop)
	t.Cleanup(func() {
		close(stop)
		<-o.done
		unix.Close(fd)
		unix.Close(out)
	})
	return o
}

func (o *observer) run(stop chan struct{}) {
	defer close(o.done)
	buf := make([]byte, 1<<17)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, from, err := unix.Recvfrom(o.fd, buf, 0)
		if err != nil {
			continue // No packet for a while.
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if !ok {
			continue
		}
		if ll.Pkttype == unix.PACKET_OUTGOING { // To the client.
			if n >= 18 && binary.BigEndian.Uint16(buf[12:]) == fenceType {
				o.mu.Lock()
				o.fences[binary.BigEndian.Uint32(buf[14:])] = true
				o.mu.Unlock()
			}
			continue
		}
		f := parseFrame(buf[:n])
		f.size = len(f.payload)
		f.payload = slices.Clone(f.payload[:min(len(f.payload), 32)])
		o.mu.Lock()
		o.all++
		if !f.needed() && (o.allow == nil || !o.allow(f)) {
			o.seen = append(o.seen, f)
		}
		o.mu.Unlock()
	}
}

// fenceType marks frames of ours, which pass after all that was sent before
// (IEEE 802 local experimental EtherType).
const fenceType = 0x88b5

// settle waits until all that was sent has been seen.
func (o *observer) settle(t *testing.T) {
	t.Helper()
	o.mu.Lock()
	o.tokens++
	token := o.tokens
	o.mu.Unlock()
	f := make([]byte, 60)
	binary.BigEndian.PutUint16(f[12:], fenceType)
	binary.BigEndian.PutUint32(f[14:], token)
	l, err := netlink.LinkByIndex(o.index)
	if err != nil {
		t.Fatal(err)
	}
	if l.Attrs().OperState != netlink.OperUp { // The client's end is down: nothing is under way for long.
		time.Sleep(100 * time.Millisecond)
		return
	}
	o.inject(t, f)
	deadline := time.Now().Add(10 * time.Second)
	for {
		o.mu.Lock()
		seen := o.fences[token]
		o.mu.Unlock()
		if seen {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the observer does not see its own frame")
		}
		time.Sleep(time.Millisecond)
	}
	stats, err := unix.GetsockoptTpacketStats(o.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		t.Fatal(err)
	}
	if stats.Drops > 0 {
		t.Errorf("the observer missed %d packets: this run proves nothing", stats.Drops)
	}
}

// inject puts a frame on the cable, towards the client.
func (o *observer) inject(t *testing.T, f []byte) {
	t.Helper()
	if err := unix.Sendto(o.out, f, 0, &unix.SockaddrLinklayer{Ifindex: o.index, Halen: 6}); err != nil {
		t.Fatalf("sending to the client: %v", err)
	}
}

// take returns what was seen since the last time.
func (o *observer) take(t *testing.T) []frame {
	t.Helper()
	o.settle(t)
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := o.seen
	o.seen = nil
	return seen
}

// permit says what is no leak from now on, beside what is needed.
func (o *observer) permit(allow func(frame) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.allow = allow
}

// hardware is a plug's address.
func hardware(t *testing.T, plug string) net.HardwareAddr {
	t.Helper()
	l, err := netlink.LinkByName(plug)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().HardwareAddr
}
