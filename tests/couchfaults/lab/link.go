package lab

import (
	"context"
	"net"
	"sync"
	"time"
)

// A link is a proxy: the way of the connections that one node makes to
// another.
type link struct {
	from, to int
	ln       net.Listener
	target   string
	out      *gate // From who dialled.
	back     *gate // To who dialled.
	wg       sync.WaitGroup

	mu      sync.Mutex // Guards what follows.
	pairs   map[*pair]bool
	refused bool
	closed  bool
}

// A pair is one connection through a link.
type pair struct {
	near net.Conn
	done chan struct{}
	once sync.Once
}

func newLink(target string, out, back *gate) (*link, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{ln: ln, target: target, out: out, back: back, pairs: map[*pair]bool{}}
	k.wg.Go(k.accept)
	return k, nil
}

func (k *link) addr() string { return k.ln.Addr().String() }

// close ends the link and all its connections.
func (k *link) close() error {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	err := k.ln.Close()
	k.breakAll()
	k.wg.Wait()
	return err
}

// refuse makes connections fail, those that there are and new ones, or not.
func (k *link) refuse(yes bool) {
	k.mu.Lock()
	k.refused = yes
	k.mu.Unlock()
	if yes {
		k.breakAll()
	}
}

func (k *link) breakAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for p := range k.pairs {
		p.end()
	}
}

func (k *link) accept() {
	for {
		conn, err := k.ln.Accept()
		if err != nil {
			return // Closed.
		}
		p := &pair{near: conn, done: make(chan struct{})}
		if !k.add(p) {
			conn.(*net.TCPConn).SetLinger(0) // A reset, not an end.
			conn.Close()
			continue
		}
		k.wg.Go(func() {
			k.carry(p)
			k.mu.Lock()
			delete(k.pairs, p)
			k.mu.Unlock()
		})
	}
}

func (k *link) add(p *pair) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refused || k.closed {
		return false
	}
	k.pairs[p] = true
	return true
}

// carry moves bytes both ways until one side ends.
func (k *link) carry(p *pair) {
	defer p.end()
	if !k.out.pass(p.done) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var d net.Dialer
	far, err := d.DialContext(ctx, "tcp", k.target)
	if err != nil {
		return // That node is down: the near side sees its connection end.
	}
	defer far.Close()
	var wg sync.WaitGroup
	wg.Go(func() { p.move(far, p.near, k.out) })
	wg.Go(func() { p.move(p.near, far, k.back) })
	<-p.done
	far.Close()
	wg.Wait()
}

// move moves bytes one way. A node that ends a connection ends both ways.
func (p *pair) move(to, from net.Conn, g *gate) {
	defer p.end()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !g.pass(p.done) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// end breaks the connection. It may be called more than once.
func (p *pair) end() {
	p.once.Do(func() {
		close(p.done)
		p.near.Close() // Nothing is left to say.
	})
}
