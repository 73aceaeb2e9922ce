package group_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"leap.example/services/bigcouch/group"
	"leap.example/services/bigcouch/peer"
	"leap.example/services/bigcouch/store"
)

// promise has nodes promise both shards to a server, whose node asks itself, or
// another in its name.
func (c *cluster) promise(by, server string, to ...string) error {
	c.t.Helper()
	port, err := peer.New(by, maps.Clone(c.addrs), c.ca.Cert(c.t, by), c.ca.Pool, quiet())
	if err != nil {
		c.t.Fatal(err)
	}
	hc := http.Client{Transport: port.Transport(), Timeout: 10 * time.Second}
	defer hc.CloseIdleConnections()
	for _, n := range to {
		for shard := range 2 {
			resp, err := hc.Post(fmt.Sprintf("https://%s/_leap/v1/shards/%d/vouch", n, shard), "application/json",
				strings.NewReader(fmt.Sprintf(`{"server":%q,"step":"promise"}`, server)))
			if err != nil {
				return err
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s, shard %d: %s", n, shard, resp.Status)
			}
		}
	}
	return nil
}

// A founder that was promised a shard and lost its disk founds it when it is back
// as another server. Nobody else has what it was promised, whatever he says of
// himself.
func TestFounderWiped(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.start("b", "c")
	c.runs("b")
	c.runs("c")
	if err := c.promise("a", "a@lost", "b", "c"); err != nil {
		t.Fatal(err)
	}
	for by, server := range map[string]string{"b": "b@1", "c": "a@2"} {
		if err := c.promise(by, server, "b"); err == nil {
			t.Errorf("%s, as %s, has what was promised to a", by, server)
		}
	}
	c.start("a")
	c.open("a")
	c.write("b", "d")
	c.equal("c", 3)
}

// A founder that is gone for good, with the promises of others, is replaced by
// another in the table. They say what they wait for, and found the shard when
// their promises have been released.
func TestFounderGone(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c", "d")
	c.start("b", "c", "d")
	for _, n := range []string{"b", "c", "d"} {
		c.eventually(n+" runs", func() error {
			if w := c.ask(n, "GET", "/_leap/v1/shards/0", ""); w.Code != http.StatusOK {
				return errors.New(w.Body.String())
			}
			return nil
		})
	}
	if err := c.promise("a", "a@lost", "b", "c", "d"); err != nil {
		t.Fatal(err)
	}
	left := []string{"b", "c", "d"}
	for _, n := range left {
		c.stop(n)
	}
	c.names = left
	c.place = [][]string{left, left}
	c.start(left...)
	c.eventually("b says what it waits for", func() error {
		if st := c.nodes["b"].set.Statuses()[1]; !strings.HasSuffix(st.Unbegun, "promised to a@lost") {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	for _, n := range left {
		c.stop(n)
		c.offline(n, func(st *store.Store) {
			for i := range uint16(2) {
				to, err := group.Promised(st, i)
				if n == "d" && i == 1 { // It was not to hold it, and promised nothing.
					if to != "" || err != nil || group.Release(st, i) == nil {
						t.Errorf("d has promised shard 1 to %q, %v", to, err)
					}
					continue
				}
				if to != "a@lost" || err != nil {
					t.Errorf("%s has promised shard %d to %q, %v", n, i, to, err)
				}
				if err := group.Release(st, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	c.start(left...)
	c.open("c")
	c.write("b", "e")
	c.equal("d", 3)
	if st := c.nodes["b"].set.Statuses()[1]; st.Unbegun != "" {
		t.Errorf("%+v", st)
	}
	c.stop("b")
	c.offline("b", func(st *store.Store) {
		if err := group.Release(st, 1); err == nil {
			t.Error("a promise is released of a shard that is there")
		}
	})
}
