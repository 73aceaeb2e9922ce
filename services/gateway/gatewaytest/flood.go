package gatewaytest

import (
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	datagram = 1200
	settle   = 1500 * time.Millisecond
)

// A Flow is bytes a second of a flood.
type Flow struct {
	Sent float64
	Got  float64 // What arrived of that.
}

// Ends returns the ends of a new flow of datagrams: the client's, and that of
// sink, which the client calls to. They are closed by who made sink and c.
func (c *Client) Ends(sink net.PacketConn, to netip.AddrPort) (own, far net.Conn, err error) {
	if own, err = c.Net.DialUDPAddrPort(netip.AddrPort{}, to); err != nil {
		return nil, nil, err
	}
	if _, err := own.Write([]byte("hello")); err != nil {
		return nil, nil, err
	}
	if err := sink.SetReadDeadline(time.Now().Add(3 * patience)); err != nil {
		return nil, nil, err
	}
	_, from, err := sink.ReadFrom(make([]byte, datagram))
	if err != nil {
		return nil, nil, fmt.Errorf("waiting for the first datagram of a flow: %w", err)
	}
	return own, towards{sink, from}, nil
}

// towards is a socket with one peer.
type towards struct {
	net.PacketConn
	peer net.Addr
}

func (c towards) Read(b []byte) (int, error)  { n, _, err := c.ReadFrom(b); return n, err }
func (c towards) Write(b []byte) (int, error) { return c.WriteTo(b, c.peer) }
func (c towards) RemoteAddr() net.Addr        { return c.peer }

// Flood sends datagrams from one end to the other, pace bytes a second, and
// measures for a time what arrives of those that it sends. It begins to measure
// after a while: kernels let a second's worth through at once.
func Flood(from, to net.Conn, pace int64, measured time.Duration) (Flow, error) {
	received := make(chan int)
	go func() {
		total, b := 0, make([]byte, 2*datagram)
		for {
			_ = to.SetReadDeadline(time.Now().Add(3 * time.Second)) // A closed one fails to read.
			n, err := to.Read(b)
			if err != nil {
				received <- total
				return
			}
			if n == datagram && b[0] == 1 {
				total += n
			}
		}
	}()
	sent, err := send(from, pace, measured)
	got := <-received
	return Flow{float64(sent) / measured.Seconds(), float64(got) / measured.Seconds()}, err
}

// send returns how many bytes it sent while it was measured.
func send(to net.Conn, pace int64, measured time.Duration) (late int, err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	b := make([]byte, datagram)
	begin, sent := time.Now(), 0
	for since := time.Duration(0); since < settle+measured; since = time.Since(begin) {
		if float64(sent) >= since.Seconds()*float64(pace) {
			<-tick.C
			continue
		}
		if since > settle {
			b[0] = 1
		}
		if _, err := to.Write(b); err != nil {
			return late, err
		}
		sent += datagram
		late += int(b[0]) * datagram
	}
	return late, nil
}
