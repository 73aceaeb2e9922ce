package group_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/peer"
	"leap.example/services/bigcouch/store"
)

// A gate is in the way of what a node writes to its log files.
type gate struct {
	shut    sync.Mutex    // Held while it is.
	waiting chan struct{} // Has something when somebody waits at it.
}

// gated puts a gate before the disk of a node that does not run yet.
func (c *cluster) gated(name string) *gate {
	g := &gate{waiting: make(chan struct{}, 1)}
	options := c.options
	c.options = func(n string) store.Options {
		o := options(n)
		if n == name {
			o.FS = errorfs.Wrap(o.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || !strings.HasSuffix(op.Path, ".log") {
					return nil
				}
				if !g.shut.TryLock() {
					select {
					case g.waiting <- struct{}{}:
					default:
					}
					g.shut.Lock()
				}
				g.shut.Unlock()
				return nil
			}))
		}
		return o
	}
	return g
}

// A said is what a node says of shard 1.
type said struct {
	Server  raft.ServerID
	State   string
	Leader  string
	Term    uint64
	Commit  uint64
	Applied uint64
	Members raft.Configuration
}

func (c *cluster) said(on string) (s said) {
	c.t.Helper()
	if err := json.Unmarshal(c.ask(on, "GET", "/_leap/v1/shards/1", "").Body.Bytes(), &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// server returns the server of a node.
func (s said) server(t testing.TB, node string) raft.ServerID {
	t.Helper()
	for _, m := range s.Members.Servers {
		if strings.HasPrefix(string(m.ID), node+"@") {
			return m.ID
		}
	}
	t.Fatalf("%s is no member: %+v", node, s)
	return ""
}

// A puppet is the leader of shard 1 that the test plays, under the name of a
// node that is stopped, for the only one that runs.
type puppet struct {
	t       testing.TB
	trans   *raft.NetworkTransport
	to      raft.ServerID
	head    raft.RPCHeader
	history uint64
	term    uint64
	last    raft.Log // Of the log of whom it leads.
}

// voice is a transport by which the test says to servers of shard 1 what another
// of them would.
func (c *cluster) voice(as raft.ServerID, history uint64) *raft.NetworkTransport {
	c.t.Helper()
	name, _, _ := strings.Cut(string(as), "@")
	port, err := peer.New(name, maps.Clone(c.addrs), c.ca.Cert(c.t, name), c.ca.Pool, quiet())
	if err != nil {
		c.t.Fatal(err)
	}
	v := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: port.Streams(1, string(as), func() uint64 { return history }), MaxPool: 1, Timeout: 20 * time.Second, Logger: hclog.NewNullLogger(),
	})
	c.t.Cleanup(func() { v.Close() })
	return v
}

// lead stops all nodes but one, waits until that has no leader, and leads it as
// another.
func (c *cluster) lead(as, whom string) *puppet {
	c.t.Helper()
	p := &puppet{t: c.t, history: c.history(whom)}
	for _, n := range c.names {
		if n != whom {
			c.stop(n)
		}
	}
	c.eventually(whom+" has no leader", func() error {
		if s := c.said(whom); s.Leader != "" || s.State == "Leader" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	s := c.said(whom)
	p.to, p.term = s.Server, s.Term+1
	me := s.server(c.t, as)
	p.head = raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(me), Addr: []byte(me)}
	l := c.nodes[whom].store.Log(1)
	_, last, err := l.Bounds()
	row, err2 := l.Get(last)
	if err := errors.Join(err, err2); err != nil {
		c.t.Fatal(err)
	}
	p.last = raft.Log{Index: last, Term: binary.BigEndian.Uint64(row[1:])}
	p.trans = c.voice(me, p.history)
	p.beat()
	return p
}

// beat says that it leads.
func (p *puppet) beat() {
	p.t.Helper()
	req := raft.AppendEntriesRequest{RPCHeader: p.head, Term: p.term}
	if err := p.trans.AppendEntries(p.to, raft.ServerAddress(p.to), &req, new(raft.AppendEntriesResponse)); err != nil {
		p.t.Fatal(err)
	}
}

// append sends one more entry, and says how far what it sent is committed.
func (p *puppet) append(commit uint64, cmd store.Command) error {
	data, err := store.Entry{Op: store.OpID{byte(p.last.Index)}, Time: 1, Cmd: cmd}.Encode()
	if err != nil {
		return err
	}
	next := raft.Log{Index: p.last.Index + 1, Term: p.term, Type: raft.LogCommand, Data: data}
	req := raft.AppendEntriesRequest{
		RPCHeader: p.head, Term: p.term, PrevLogEntry: p.last.Index, PrevLogTerm: p.last.Term, Entries: []*raft.Log{&next}, LeaderCommitIndex: commit,
	}
	var resp raft.AppendEntriesResponse
	err = p.trans.AppendEntries(p.to, raft.ServerAddress(p.to), &req, &resp)
	if err == nil && !resp.Success {
		err = fmt.Errorf("refused: %+v", resp)
	}
	p.last = next
	return err
}
