package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"leap.example/services/protocol/lease"
)

const (
	silence   = 3 * time.Minute  // WireGuard's session is over by then (REJECT_AFTER_TIME).
	writeTime = 10 * time.Second // For one datagram. Who reads slower is cut.
)

// carry hands the datagrams of a connection to WireGuard and back, until ctx
// is done, one side ends, both are silent, or the certificate has expired. What
// is no message of WireGuard ends it: it is no way into anything else.
func (s *Server) carry(ctx context.Context, conn *tls.Conn) {
	state := conn.ConnectionState()
	if _, _, err := s.admit(&state); err != nil {
		return
	}
	ctx, cancel := context.WithDeadline(ctx, time.Now().Add(state.PeerCertificates[0].NotAfter.Sub(s.now())))
	defer cancel()
	udp, err := new(net.Dialer).DialContext(ctx, "udp", s.cfg.WGListen[0])
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() {
		conn.Close()
		udp.Close()
	})()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		buf := make([]byte, lease.MaxDatagram)
		r := bufio.NewReaderSize(conn, 16<<10)
		for {
			_ = conn.SetReadDeadline(time.Now().Add(silence)) // A closed one fails to read.
			n, err := lease.ReadFrame(r, buf)
			if err != nil || !message(buf[:n]) {
				return
			}
			if _, err := udp.Write(buf[:n]); err != nil && ctx.Err() != nil {
				return // Otherwise a datagram is lost, as some are.
			}
		}
	})
	wg.Go(func() {
		defer cancel()
		buf, frame := make([]byte, lease.MaxDatagram), make([]byte, 0, 2+lease.MaxDatagram)
		for {
			_ = udp.SetReadDeadline(time.Now().Add(silence))
			n, err := udp.Read(buf)
			if err != nil {
				return
			}
			if frame, err = lease.AppendFrame(frame[:0], buf[:n]); err != nil {
				continue
			}
			_ = conn.SetWriteDeadline(time.Now().Add(writeTime))
			if _, err := conn.Write(frame); err != nil {
				return
			}
		}
	})
	wg.Wait()
}

// message reports whether b begins as a message of WireGuard does: a type from
// 1 to 4 and three zeroes.
func message(b []byte) bool {
	return len(b) >= 32 && b[0] >= 1 && b[0] <= 4 && b[1] == 0 && b[2] == 0 && b[3] == 0
}
