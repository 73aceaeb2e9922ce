package group_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
)

// local is a write that changes next to nothing.
var local = store.WriteLocal{DB: dbID, ID: "heard", Body: []byte("{}")}

// led returns a cluster of which only a runs, led by the test as c, which
// answers proposals by what says returns: the whole answer, "" for none at all.
func led(t *testing.T, says func(p *puppet) string) (*cluster, *gate, *puppet) {
	c := newCluster(t, abc(), "a", "b", "c")
	g := c.gated("a")
	c.start("a", "b", "c")
	c.open("a")
	c.write("a", "d")
	c.equal("a", 3)
	p := c.lead("c", "a")
	c.pretend("c", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/shards/1/propose") {
			http.Error(w, "not here", http.StatusServiceUnavailable)
			return
		}
		said := says(p)
		if said == "" {
			<-r.Context().Done()
		}
		fmt.Fprint(w, said)
	}))
	return c, g, p
}

// progress is what a leader says with an answer.
func (p *puppet) progress(index, term, commit uint64) string {
	return fmt.Sprintf(`{"index":%d,"result":{},"progress":{"leader":%q,"history":%d,"term":%d,"commit":%d}}`, index, p.head.ID, p.history, term, commit)
}

// Who writes through a node whose leader never answers, or answers with what is
// no answer, hears so in time.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{"none": "", "garbage": "\x00\xff{"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _, p := led(t, func(*puppet) string { return answer })
			done := make(chan error, 1)
			go func() {
				_, _, err := c.nodes["a"].set.Propose(t.Context(), 1, store.Entry{Cmd: local})
				done <- err
			}()
			for deadline := time.After(20 * time.Second); ; {
				select {
				case err := <-done:
					if !errors.Is(err, shard.ErrNoMajority) {
						t.Errorf("%v", err)
					}
					return
				case <-deadline:
					t.Fatal("it waits")
				case <-time.After(beat / 4):
					p.beat()
				}
			}
		})
	}
}

// What a leader says of what it has committed is not waited for when the entry
// comes without it, and is not believed when it is of another term.
func TestFalseProgress(t *testing.T) {
	t.Parallel()
	for name, progress := range map[string]func(p *puppet) string{
		"an entry that never comes": func(p *puppet) string { return p.progress(p.last.Index, p.term, 1<<60) },
		"another term":              func(p *puppet) string { return p.progress(p.last.Index, 1<<40, p.last.Index) },
		"another leader": func(p *puppet) string {
			return strings.ReplaceAll(p.progress(p.last.Index, p.term+1, p.last.Index), "c@", "b@")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Bool
			c, _, p := led(t, func(p *puppet) string {
				asked.Store(true)
				return progress(p)
			})
			if err := p.append(0, local); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			done := make(chan error, 1)
			go func() {
				_, _, err := c.nodes["a"].set.Propose(ctx, 1, store.Entry{Cmd: local})
				done <- err
			}()
			c.eventually("the leader is asked", func() error {
				p.beat()
				if !asked.Load() {
					return errors.New("not yet")
				}
				return nil
			})
			mine := p.last.Index
			if err := p.append(mine, local); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if s := c.said("a"); s.Term != p.term || s.Applied != mine {
				t.Errorf("%+v, not of term %d", s, p.term)
			}
		})
	}
}

// A node whose library is busy, with a disk that does not answer, holds nobody
// up for longer than he wants to wait.
func TestBusy(t *testing.T) {
	t.Parallel()
	c, g, p := led(t, func(p *puppet) string { return p.progress(p.last.Index, p.term, p.last.Index) })
	if err := p.append(0, local); err != nil {
		t.Fatal(err)
	}
	g.shut.Lock()
	appended := make(chan error, 1)
	before := *p
	go func() { appended <- before.append(0, local) }()
	<-g.waiting
	for range 3 {
		p.beat() // Which needs no disk.
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		began := time.Now()
		if _, _, err := c.nodes["a"].set.Propose(ctx, 1, store.Entry{Cmd: local}); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		cancel()
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
	}
	g.shut.Unlock()
	if err := <-appended; err != nil {
		t.Error(err)
	}
}
