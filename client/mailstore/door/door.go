// Package door decides who comes in to the local mail servers, client/imapd
// and client/smtpd: programs of this machine, not too many at once, that know
// the password which the client has made for them.
//
// The connections are plain TCP on loopback, which every user and program of
// the machine can reach; hence the password, which is random and no other
// password of the user's. A program that runs as the same user, or as root, is
// not kept out.
package door

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"strings"
	"sync"
	"time"

	"leap.example/services/protocol/nick"
)

// A Key is what a mail program must show.
type Key struct {
	Address  nick.Address // The user name, in any case.
	Password string
	Delay    time.Duration // Before a refusal. Zero: 2 s.
}

// Opens reports whether a user name and a password are right. It takes the
// same time whichever is wrong, and a wrong one is answered late: not before
// the delay is over, or done is closed.
func (k Key) Opens(done <-chan struct{}, user, password string) bool {
	want, got := sha256.Sum256([]byte(k.Password)), sha256.Sum256([]byte(password))
	ok := subtle.ConstantTimeCompare(want[:], got[:])
	ok &= subtle.ConstantTimeCompare([]byte(k.Address), []byte(strings.ToLower(user)))
	if ok == 1 && k.Password != "" {
		return true
	}
	delay := k.Delay
	if delay == 0 {
		delay = 2 * time.Second
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	}
	return false
}

// A Listener accepts connections from this machine, at most some at once;
// others are closed. Close ends the listener and all its connections.
type Listener struct {
	net.Listener
	max int
	wg  sync.WaitGroup // Connections that are not closed by their server.

	mu    sync.Mutex // Guards what follows.
	conns map[*conn]bool
	shut  bool
}

// Wrap returns a Listener over ln.
func Wrap(ln net.Listener, max int) *Listener {
	return &Listener{Listener: ln, max: max, conns: map[*conn]bool{}}
}

// Accept returns the next connection that may come in.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.admit(nc); c != nil {
			return c, nil
		}
		nc.Close() // Whoever it is gets no answer.
	}
}

func (l *Listener) admit(nc net.Conn) *conn {
	a, ok := nc.RemoteAddr().(*net.TCPAddr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !ok || !a.IP.IsLoopback() || len(l.conns) >= l.max || l.shut {
		return nil
	}
	c := &conn{Conn: nc, listener: l}
	l.conns[c] = true
	l.wg.Add(1)
	return c
}

// Close stops listening and cuts all connections.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut = true
	for c := range l.conns {
		c.Conn.Close() // Their server notices, and closes them itself.
	}
	return l.Listener.Close()
}

// Wait returns when the server has closed all connections.
func (l *Listener) Wait() { l.wg.Wait() }

type conn struct {
	net.Conn
	listener *Listener
	once     sync.Once
}

func (c *conn) Close() error {
	c.once.Do(func() {
		c.listener.mu.Lock()
		delete(c.listener.conns, c)
		c.listener.mu.Unlock()
		c.listener.wg.Done()
	})
	return c.Conn.Close()
}
