package mx

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"leap.example/services/protocol/smtpline"
)

// errGone takes the place of io.EOF, which the SMTP library takes for the end
// of a BDAT chunk.
var errGone = errors.New("the peer is gone")

// errEarly ends the connection of a peer that talks before the greeting.
var errEarly = errors.New("the peer talked before the greeting")

// life is the longest that one connection lasts.
const life = time.Hour

// A conn is one TCP connection below TLS. It sets its own deadlines.
type conn struct {
	net.Conn
	gate     *gate
	ip       netip.Addr
	network  netip.Prefix
	trusted  bool
	delay    time.Duration // Before the first write.
	patience time.Duration
	end      time.Time
	records  smtpline.Records
	held     atomic.Bool // Nothing is read from the network.
	phase    phase       // Guarded by gate.mu.
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if c.held.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	if !c.gate.reading(c) {
		return 0, errGone
	}
	until := time.Now().Add(c.patience)
	if c.end.Before(until) {
		until = c.end
	}
	if err := c.Conn.SetReadDeadline(until); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	c.records.Feed(b[:n])
	if err == io.EOF {
		err = errGone
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	if c.delay > 0 {
		if err := c.listen(); err != nil {
			return 0, err
		}
	}
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// listen waits for as long as the greeting is delayed. A peer that talks is
// refused, RFC 5321, 4.3.1.
func (c *conn) listen() error {
	d := c.delay
	c.delay = 0
	if err := c.Conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	n, err := c.Conn.Read(make([]byte, 1))
	if n > 0 {
		c.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		c.Conn.Write([]byte("554 5.5.1 You talk before the greeting\r\n")) // Whether it listens or not.
		err = errEarly
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	c.Close()
	return err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.gate.left(c)
	return c.Conn.Close()
}

// SetDeadline, SetReadDeadline and SetWriteDeadline implement net.Conn. The
// library's deadlines do not apply: they are for whole messages.
func (*conn) SetDeadline(time.Time) error      { return nil }
func (*conn) SetReadDeadline(time.Time) error  { return nil }
func (*conn) SetWriteDeadline(time.Time) error { return nil }

// cutOff reports whether the peer has said goodbye inside TLS (RFC 8446, 6.1),
// which the SMTP library takes for the end of a BDAT chunk too. It may be
// called while nobody else reads.
func (c *conn) cutOff(over net.Conn) bool {
	t, ok := over.(*tls.Conn)
	if !ok || !c.records.MayEnd() {
		return false
	}
	c.held.Store(true)
	defer c.held.Store(false)
	_, err := t.Read(make([]byte, 1)) // EOF, or there is nothing to read.
	return err == io.EOF
}
