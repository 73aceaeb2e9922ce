package netstack

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestFlows: the memory of all flows of UDP is bounded, and TCP goes on beside.
func TestFlows(t *testing.T) {
	var f flows
	f.open()
	defer f.close()
	client := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 64, byte(n >> 8), byte(n)}) }
	var ends []func()
	for len(ends)*2*(maxDatagram+1) < 300<<20 {
		_, end, ok := f.begin(client(len(ends)/maxClientFlows), true)
		if !ok {
			break
		}
		ends = append(ends, end)
	}
	if len(ends) != maxUDPFlows {
		t.Errorf("%d flows of UDP at once", len(ends))
	}
	_, end, ok := f.begin(client(1000), false)
	if !ok {
		t.Fatal("no TCP beside them")
	}
	end()
	ends[0]()
	_, end, ok = f.begin(client(1000), true)
	if !ok {
		t.Fatal("the place of one that has ended is not free")
	}
	ends[0] = end
	for _, end := range ends {
		end()
	}
}

// TestLongDatagram: what does not fit is lost, not cut.
func TestLongDatagram(t *testing.T) {
	pair := func() (near, far *net.UDPConn) {
		t.Helper()
		far, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		near, err = net.DialUDP("udp", nil, far.LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { near.Close(); far.Close() })
		return near, far
	}
	sender, in := pair()
	out, sink := pair()
	for _, size := range []int{maxDatagram + 1, 2 * maxDatagram, maxDatagram} {
		if _, err := sender.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan bool)
	w := way{meter: newMeters(1).drop, idle: 20 * time.Second, size: maxDatagram + 1, whole: true}
	go func() { w.last.Store(time.Now().UnixNano()); done <- w.copy(t.Context(), out, in, up) }()
	if err := sink.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := sink.Read(make([]byte, 3*maxDatagram)); err != nil || n != maxDatagram {
		t.Errorf("%d bytes come first, %v", n, err)
	}
	in.Close()
	<-done
}
