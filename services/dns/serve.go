package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxConns     = 256              // TCP connections of one listener.
	maxConnsEach = 16               // Of them, from one client.
	maxPerConn   = 128              // Queries on one connection.
	idleTCP      = 10 * time.Second // RFC 7766, 6.2.3.
	writeTCP     = 5 * time.Second

	maxBusy     = 2048 // Queries of a role that wait at once.
	maxBusyEach = 128  // Of them, from one client.

	minPause = 5 * time.Millisecond // After a connection that could not be accepted; it doubles.
	maxPause = time.Second
)

// A role answers queries. It is called from many goroutines.
type role struct {
	readers int                    // Goroutines that read UDP, per listener.
	quick   func(q query) *dns.Msg // What can be said without waiting; nil: only ask knows.
	ask     func(ctx context.Context, q query) *dns.Msg
	admit   func(from netip.Addr) bool // Whom to talk to at all.
	group   grouping                   // What counts as one client.
	limit   *limiter                   // Of UDP answers.
	busy    *share                     // Of queries that wait.
}

// packet is the whole way from the octets of a query to those of its answer,
// which is nil if nothing is to be sent.
func (r *role) packet(ctx context.Context, in []byte, from netip.Addr, udp bool) []byte {
	out, wait := r.begin(in, from, udp)
	if wait != nil {
		out = wait(ctx)
	}
	return out
}

// begin is the part of the way that waits for nobody. The rest, if there is one,
// is wait, which must be called: a place is kept for it.
func (r *role) begin(in []byte, from netip.Addr, udp bool) (out []byte, wait func(context.Context) []byte) {
	if !r.admit(from) {
		return nil, nil
	}
	v := pass
	if udp {
		v = r.limit.ask(from, time.Now())
	}
	if v == drop {
		return nil, nil
	}
	q, refusal := parse(in)
	switch {
	case q.msg == nil && refusal == nil:
		return nil, nil
	case q.msg == nil && v == slip:
		return nil, nil // Nothing that TCP would make better.
	case q.msg == nil:
		return pack(refusal, dns.MinMsgSize), nil
	case v == slip:
		return pack(q.truncated(), dns.MinMsgSize), nil
	}
	limit := dns.MaxMsgSize
	if udp {
		limit = q.size()
	}
	if reply := r.quick(q); reply != nil {
		return pack(reply, limit), nil
	}
	if !r.busy.add(r.group(from)) {
		return nil, nil // It asks again.
	}
	return nil, func(ctx context.Context) []byte {
		defer r.busy.remove(r.group(from))
		return pack(r.ask(ctx, q), limit)
	}
}

// serve serves both transports until ctx is done and closes them.
func (r *role) serve(ctx context.Context, pc *net.UDPConn, ln net.Listener) error {
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		pc.Close()
		ln.Close()
	})()
	var wg sync.WaitGroup
	for range r.readers {
		wg.Go(func() { cancel(r.serveUDP(ctx, pc)) })
	}
	wg.Go(func() { cancel(r.serveTCP(ctx, ln)) })
	wg.Wait()
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// serveUDP answers one packet after the other; those that wait, beside the
// others. It returns when pc is closed and nothing waits any more.
func (r *role) serveUDP(ctx context.Context, pc *net.UDPConn) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	buf := make([]byte, 4096)
	for {
		n, from, err := pc.ReadFromUDPAddrPort(buf)
		if err != nil {
			return fmt.Errorf("reading UDP: %w", err)
		}
		send := func(out []byte) {
			if out != nil {
				// A client that cannot be reached asks again.
				_, _ = pc.WriteToUDPAddrPort(out, from)
			}
		}
		out, wait := r.begin(buf[:n], from.Addr(), true)
		if wait != nil {
			wg.Go(func() { send(wait(ctx)) })
			continue
		}
		send(out)
	}
}

// serveTCP accepts connections. It returns when ln is closed and every
// connection has ended.
func (r *role) serveTCP(ctx context.Context, ln net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	held := newShare(maxConns, maxConnsEach)
	var wait time.Duration
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accepting TCP: %w", err)
			}
			// As a rule there are too many open files: that passes.
			wait = min(max(2*wait, minPause), maxPause)
			pause(ctx, wait)
			continue
		}
		wait = 0
		from := addrOf(conn)
		if !held.add(r.group(from)) {
			conn.Close()
			continue
		}
		wg.Go(func() {
			defer held.remove(r.group(from))
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			r.serveConn(ctx, conn, from)
		})
	}
}

// pause waits, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// serveConn answers the queries of one connection in their order. It returns
// when the client is silent, slow, done, or out of turn.
func (r *role) serveConn(ctx context.Context, conn net.Conn, from netip.Addr) {
	var length [2]byte
	buf := make([]byte, 4096)
	for range maxPerConn {
		if conn.SetReadDeadline(time.Now().Add(idleTCP)) != nil {
			return
		}
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(length[:]))
		if n > len(buf) {
			return // No query is that long.
		}
		if _, err := io.ReadFull(conn, buf[:n]); err != nil {
			return
		}
		out := r.packet(ctx, buf[:n], from, false)
		if out == nil || conn.SetWriteDeadline(time.Now().Add(writeTCP)) != nil {
			return
		}
		// One write, one segment: RFC 7766, 8.
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

func addrOf(conn net.Conn) netip.Addr {
	a, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr()
}
