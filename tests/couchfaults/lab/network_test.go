package lab

import (
	"bufio"
	"net"
	"testing"
	"time"
)

// echo answers each line on every connection until the test ends.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					c.Write([]byte(line))
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// ask sends a line and reports whether it comes back in time.
func ask(t *testing.T, c net.Conn, patience time.Duration) bool {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("x\n")); err != nil {
		return false
	}
	_, err := c.Read(make([]byte, 8))
	return err == nil
}

func TestLink(t *testing.T) {
	out, back := newGate(), newGate()
	k, err := newLink(echo(t), out, back)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", k.addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := dial()
	if !ask(t, c, 10*time.Second) {
		t.Fatal("nothing passes an open link")
	}
	for name, g := range map[string]*gate{"out": out, "back": back} {
		g.set(false)
		if ask(t, c, 50*time.Millisecond) {
			t.Errorf("%s: something passes a closed gate", name)
		}
		g.set(true)
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 8)); err != nil {
			t.Errorf("%s: what was held back is lost: %v", name, err)
		}
	}
	out.slow(60 * time.Millisecond)
	began := time.Now()
	if !ask(t, c, 10*time.Second) || time.Since(began) < 60*time.Millisecond {
		t.Errorf("answer of a slow link after %v", time.Since(began))
	}
	out.slow(0)
	k.refuse(true)
	if ask(t, c, 10*time.Second) {
		t.Error("a connection survives a refusing link")
	}
	if c, err := net.Dial("tcp", k.addr()); err == nil { // It may be refused that early.
		if ask(t, c, 10*time.Second) {
			t.Error("a refusing link takes a connection")
		}
		c.Close()
	}
	k.refuse(false)
	if !ask(t, dial(), 10*time.Second) {
		t.Error("nothing passes a link that refuses no more")
	}
}

// A partition lets through what its shape says, in each direction by itself.
func TestPartition(t *testing.T) {
	l := &Lab{}
	if err := l.connect([]int{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	oneWay := func(a, b int) bool { return a != 0 || b != 2 }
	l.Partition(oneWay, true)
	for a := range 3 {
		for b := range 3 {
			if l.paths[a][b].shut == oneWay(a, b) {
				t.Errorf("%d -> %d: shut is %v", a, b, l.paths[a][b].shut)
			}
			if k := l.link(a, b); k != nil && k.refused != (a+b == 2 && a != b) {
				t.Errorf("link %d -> %d: refused is %v", a, b, k.refused)
			}
		}
	}
	l.Heal()
	for _, k := range l.links {
		if k.refused || k.out.shut || k.back.shut {
			t.Errorf("link %d -> %d is not healed", k.from, k.to)
		}
	}
}
