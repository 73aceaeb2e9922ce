package bigcouch_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// homes returns the nodes that have a database and those that have not.
func (c *cluster) homes(db string) (with, without []string) {
	c.t.Helper()
	var got struct{ Shards map[string][]string }
	if err := json.Unmarshal([]byte(c.nodes[c.names[0]].admin(200, "GET", db+"/_shards", "").body), &got); err != nil {
		c.t.Fatal(err)
	}
	for _, nodes := range got.Shards {
		for _, name := range c.names {
			if slices.Contains(nodes, "bigcouch@"+name) {
				with = append(with, name)
			} else {
				without = append(without, name)
			}
		}
	}
	return with, without
}

// A client that does not know what became of its write, since the node that
// passed it on has died, sends it again through any other.
func TestRetryAfterPassing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c", "d", "e")
	c.start(c.names...)
	c.ready(c.names...)
	c.nodes["a"].admin(201, "PUT", "/db", "")
	with, without := c.homes("/db")
	through, other := c.nodes[without[0]], c.nodes[without[1]]
	type write struct{ method, path, body string }
	first := map[write]string{}
	rev := through.admin(201, "PUT", "/db/old", `{}`).rev(t)
	for _, w := range []write{
		{"PUT", "/db/doc", `{"n":1}`},
		{"POST", "/db", `{"n":1}`},
		{"PUT", "/db/att/name", "some text"},
		{"DELETE", "/db/old?rev=" + rev, ""},
		{"POST", "/db/_bulk_docs", `{"docs":[{"_id":"x"},{"_id":"y"},{"n":1}]}`},
		{"PUT", "/db/_local/l", `{"n":1}`},
	} {
		first[w] = through.do("admin", w.method, w.path, w.body, "X-Leap-Op: 0123456789abcdef").body // Say that this was never heard.
	}
	if err := through.stop(); err != nil {
		t.Fatal(err)
	}
	for w, want := range first {
		for _, n := range []*node{other, c.nodes[with[0]], c.nodes[with[2]]} {
			a := n.do("admin", w.method, w.path, w.body, "X-Leap-Op: 0123456789abcdef")
			if a.status >= 300 || a.body != want {
				t.Errorf("%s %s again: %d %s, at first %s", w.method, w.path, a.status, a.body, want)
			}
		}
	}
}

// A mute is a way to a node that, once it is told to, carries one request of HTTP
// there, and no answer back.
type mute struct {
	ln     net.Listener
	target string
	armed  atomic.Bool
	hit    atomic.Bool
	wg     sync.WaitGroup
}

func newMute(t *testing.T, target string) *mute {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mute{ln: ln, target: target}
	m.wg.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			m.wg.Go(func() { m.carry(near) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		m.wg.Wait()
	})
	return m
}

func (m *mute) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", m.target)
	if err != nil {
		return
	}
	defer far.Close()
	var isHTTP atomic.Bool
	m.wg.Go(func() {
		defer far.Close()
		buf := make([]byte, 64<<10)
		for first := true; ; first = false {
			n, err := near.Read(buf)
			if err != nil {
				return
			}
			if first { // The greeting of TLS names the protocol.
				isHTTP.Store(bytes.Contains(buf[:n], []byte("http/1.1")))
			}
			if _, err := far.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := far.Read(buf)
		if err != nil {
			return
		}
		if isHTTP.Load() && m.armed.CompareAndSwap(true, false) {
			m.hit.Store(true)
			return
		}
		if _, err := near.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A node that passes on a write and has no answer tries another node: the write
// does not conflict with itself, also when the client has not named it.
func TestPassingIsOneWrite(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c", "d")
	mutes := map[string]*mute{}
	c.ways = map[string]string{}
	for _, n := range c.conf {
		mutes[n.Name] = newMute(t, n.Peer)
		c.ways[n.Name] = mutes[n.Name].ln.Addr().String()
	}
	outer := c.names[3]
	ways := c.ways
	for _, name := range c.names { // Only the way of the one that passes on is special.
		if c.ways = nil; name == outer {
			c.ways = ways
		}
		c.start(name)
	}
	c.ready(c.names...)
	name := ""
	for i := 0; name == ""; i++ {
		db := "/db" + strings.Repeat("x", i)
		c.nodes["a"].admin(201, "PUT", db, "")
		if _, without := c.homes(db); slices.Contains(without, outer) {
			name = db
		}
	}
	with, _ := c.homes(name)
	n := c.nodes[outer]
	cut := 0
	for i := 0; cut < 3 && i < 50; i++ {
		rev := n.admin(201, "PUT", name+"/doc", `{}`).rev(t) // It knows now whom it asks.
		for _, home := range with {
			mutes[home].armed.Store(true)
		}
		a := n.do("admin", "DELETE", name+"/doc?rev="+rev, "")
		for _, home := range with {
			if mutes[home].armed.Store(false); mutes[home].hit.Swap(false) {
				cut++
			}
		}
		if a.status != http.StatusOK {
			t.Errorf("deleting: %d %s", a.status, a.body)
		}
	}
	if cut == 0 {
		t.Error("no answer was cut off")
	}
}
