package group_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"leap.example/services/bigcouch/store"
)

// A stall is a way to a node that stops in the middle of what it carries, as a
// machine does that is frozen.
type stall struct {
	t      *testing.T
	ln     net.Listener
	target string
	after  int64         // Bytes of one connection, one way.
	hit    chan struct{} // Closed when something has stopped.
	once   sync.Once
	wg     sync.WaitGroup
	done   chan struct{}
}

// stalled puts a stall on the way to a node.
func (c *cluster) stalled(t *testing.T, name string, after int64) *stall {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stall{t: t, ln: ln, target: c.addrs[name], after: after, hit: make(chan struct{}), done: make(chan struct{})}
	s.wg.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.carry(near) })
		}
	})
	t.Cleanup(func() {
		close(s.done)
		ln.Close()
		s.wg.Wait()
	})
	return s
}

func (s *stall) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", s.target)
	if err != nil {
		return
	}
	defer far.Close()
	ended := make(chan struct{}, 2)
	move := func(to, from net.Conn) {
		if _, err := io.CopyN(to, from, s.after); err == nil {
			s.once.Do(func() { close(s.hit) })
			<-s.done // It keeps its connections, and says nothing.
		}
		ended <- struct{}{}
	}
	s.wg.Go(func() { move(near, far) })
	s.wg.Go(func() { move(far, near) })
	select {
	case <-ended:
	case <-s.done:
	}
}

// Nodes end in time while a state is on its way between them that never comes
// to an end: the one that sends it and the one that receives it.
func TestEndingWhileSending(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.trailing, c.threshold = 10, 20
	c.start("a", "b", "c")
	c.open("a")
	c.stop("c")
	big := make([]byte, 100<<10)
	for i := range big {
		big[i] = 'x'
	}
	for i := range 60 {
		c.eventually("writing", func() error {
			_, err := c.propose("a", 1, store.WriteLocal{DB: dbID, ID: fmt.Sprintf("big%d", i), Body: fmt.Appendf(nil, `{"a":%q}`, big)})
			return err
		})
	}
	for _, n := range []string{"a", "b"} {
		c.eventually("trimming the log of "+n, func() error {
			first, _, err := c.nodes[n].store.Log(1).Bounds()
			if err == nil && first < 20 { // c has less.
				err = fmt.Errorf("it begins at %d", first)
			}
			c.write(n, "push")
			return err
		})
	}
	for _, n := range []string{"a", "b"} { // They reach c by a way that will stall.
		c.stop(n)
	}
	real := c.addrs["c"]
	s := c.stalled(t, "c", 2<<20)
	c.addrs["c"] = s.ln.Addr().String()
	c.start("a", "b")
	c.addrs["c"] = real
	c.start("c")
	select {
	case <-s.hit:
	case <-time.After(30 * time.Second):
		t.Fatal("no state was sent")
	}
	for _, n := range []string{"c", "a", "b"} {
		ended := make(chan struct{})
		go func() {
			c.stop(n)
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(8 * time.Second):
			t.Errorf("%s does not end", n)
			<-ended
		}
	}
}
