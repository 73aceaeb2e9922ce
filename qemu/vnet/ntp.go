package vnet

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// NTP's 48 bytes (RFC 5905, 7.3), and where its times are in them.
const (
	ntpLen       = 48
	ntpReference = 16
	ntpOrigin    = 24
	ntpReceive   = 32
	ntpTransmit  = 40
)

// ntpEpoch is 1900-01-01 in Unix seconds.
const ntpEpoch = -2208988800

// An NTP is a time server for the LAN: it tells the time of this machine, or
// another one.
type NTP struct {
	conn   net.PacketConn
	offset atomic.Int64 // Nanoseconds.
}

// ServeNTP tells the time at port 123 of an address of the host, until Close.
func (h *Host) ServeNTP(at netip.Addr) (*NTP, error) {
	c, err := h.ListenUDP(netip.AddrPortFrom(at, 123))
	if err != nil {
		return nil, err
	}
	n := &NTP{conn: c}
	return n, h.serve(n.run, c.Close)
}

// SetOffset has the server tell a time that is by d later than this machine's.
func (n *NTP) SetOffset(d time.Duration) { n.offset.Store(int64(d)) }

func (n *NTP) run() {
	b := make([]byte, 512)
	for {
		size, from, err := n.conn.ReadFrom(b)
		if err != nil {
			return // Closed.
		}
		if reply := ntpReply(b[:size], time.Now().Add(time.Duration(n.offset.Load()))); reply != nil {
			_, _ = n.conn.WriteTo(reply, from) // Who asked asks again.
		}
	}
}

// ntpReply answers a client, or returns nil for what no client sends.
func ntpReply(ask []byte, now time.Time) []byte {
	const client, server = 3, 4 // Modes.
	if len(ask) < ntpLen || ask[0]&7 != client {
		return nil
	}
	b := make([]byte, ntpLen)
	b[0] = ask[0]&(7<<3) | server // No leap second; the client's version.
	b[1] = 1                      // A primary server.
	b[2] = ask[2]                 // Poll interval.
	b[3] = 0xec                   // Precision, log2 of seconds: a microsecond.
	copy(b[12:], "LAB\x00")       // Which clock.
	t := ntpTime(now)
	binary.BigEndian.PutUint64(b[ntpReference:], t)
	copy(b[ntpOrigin:], ask[ntpTransmit:ntpLen])
	binary.BigEndian.PutUint64(b[ntpReceive:], t)
	binary.BigEndian.PutUint64(b[ntpTransmit:], t)
	return b
}

// ntpTime is a time in 2^-32 seconds since 1900, modulo 2^32 seconds.
func ntpTime(t time.Time) uint64 {
	return uint64(t.Unix()-ntpEpoch)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}
