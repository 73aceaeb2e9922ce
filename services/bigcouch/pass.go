package bigcouch

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"leap.example/services/bigcouch/peer"
)

// asHeader says for whom another node of the cluster asks.
const asHeader = "X-Leap-As"

// fromPeer marks requests that came in on the peer port.
type fromPeer struct{}

// peers serves the peer port: what groups say to each other, and requests that
// another node does not have the shard for.
type peers struct {
	n    *node
	set  http.Handler
	port *peer.Port
}

func (p peers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := p.port.NodeOf(r); err != nil {
		http.Error(w, "not a node of the cluster", http.StatusForbidden)
		return
	}
	if r.Header.Get(asHeader) == "" {
		p.set.ServeHTTP(w, r)
		return
	}
	p.n.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), fromPeer{}, true)))
}

// A passedUser is a user as one node tells another.
type passedUser struct {
	Name    string   `json:"name"`
	Roles   []string `json:"roles"`
	Admin   bool     `json:"admin"`
	Handler string   `json:"handler"`
}

// passed returns the user that another node has authenticated.
func (c *call) passed() (u user, ok bool, err error) {
	if c.ctx().Value(fromPeer{}) == nil {
		return user{}, false, nil
	}
	var p passedUser
	if json.Unmarshal([]byte(c.r.Header.Get(asHeader)), &p) != nil {
		return user{}, true, badRequest("Malformed %s", asHeader)
	}
	return user{Name: p.Name, Roles: p.Roles, admin: p.Admin, handler: p.Handler}, true, nil
}

// elsewhere reports whether the database of the request is not on this node.
func (c *call) elsewhere() bool {
	return c.engine.set != nil && !c.engine.set.Ready(c.db.Shard)
}

// pass sends the request to a node that has the shard. When that cannot be
// reached, and the request has no body, another one is tried.
func (c *call) pass() error {
	if c.ctx().Value(fromPeer{}) != nil {
		return unavailable("shard %d is not here either", c.db.Shard)
	}
	as, err := json.Marshal(passedUser{c.user.Name, c.user.Roles, c.user.admin, c.user.handler})
	if err != nil {
		return err
	}
	if read := c.r.Method == http.MethodGet || c.r.Method == http.MethodHead; !read && c.r.Header.Get(opHeader) == "" {
		c.r.Header.Set(opHeader, newUUID()) // Whoever is asked, it is one write.
	}
	for range 3 {
		node, err := c.engine.set.Holder(c.ctx(), c.db.Shard)
		if err != nil {
			return unavailable("no node with shard %d can be reached", c.db.Shard)
		}
		err = c.passTo(node, string(as))
		if err == nil || c.sent {
			return err
		}
		c.log.Warn("a request was not passed on", "shard", c.db.Shard, "node", node, "err", err)
		c.engine.set.Lost(c.db.Shard, node)
		if c.r.ContentLength != 0 {
			break
		}
	}
	return unavailable("no node with shard %d can be reached", c.db.Shard)
}

// passTo sends the request to a node.
func (c *call) passTo(node, as string) (failed error) {
	p := httputil.ReverseProxy{
		Transport:     c.port.Transport(),
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "https", node, ""
			for _, h := range []string{"Authorization", "Cookie"} {
				r.Out.Header.Del(h)
			}
			r.Out.Header.Set(asHeader, as)
			r.Out.Header.Del(partRefHeader)
			if c.db.Part > 0 {
				r.Out.Header.Set(partRefHeader, c.ref.String())
			}
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
		ErrorLog:     slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	}
	r := c.r.Clone(c.ctx())
	if r.ContentLength == 0 {
		r.Body = nil // What has no body may be sent again on another connection.
	} else {
		body := &passedBody{c: c}
		r.Body = body
		defer body.end()
	}
	if r.URL.RawPath == "" {
		r.URL.RawPath = c.r.URL.EscapedPath()
	}
	p.ServeHTTP(passing{c}, r)
	return failed
}

// passedBody is the body of a request on its way to another node, with a deadline
// that each read renews. The transport may read on when the request is over; by
// then the connection belongs to the client's next request, and its deadlines
// are not touched.
type passedBody struct {
	c *call

	mu   sync.Mutex // Guards over.
	over bool
}

func (b *passedBody) Read(p []byte) (int, error) {
	b.deadline(time.Now().Add(b.c.idle))
	n, err := b.c.r.Body.Read(p)
	if err == io.EOF {
		b.deadline(time.Time{}) // What the server reads from here on is whether the client is still there.
	}
	return n, err
}

func (b *passedBody) deadline(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.c.readDeadline(t)
	}
}

func (b *passedBody) Close() error { return b.c.r.Body.Close() }

func (b *passedBody) end() {
	b.deadline(time.Time{})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
}

// passing writes an answer of another node with deadlines that each write
// renews.
type passing struct{ c *call }

func (p passing) Header() http.Header { return p.c.w.Header() }

func (p passing) WriteHeader(status int) {
	p.c.writeDeadline()
	p.c.sent = true
	p.c.w.WriteHeader(status)
}

func (p passing) Write(b []byte) (int, error) { return patient(p).Write(b) }

// FlushError implements what http.ResponseController looks for.
func (p passing) FlushError() error {
	p.c.writeDeadline()
	return p.c.rc.Flush()
}
