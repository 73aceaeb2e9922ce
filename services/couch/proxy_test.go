package couch_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// A proxy stands between a DB and its node and does what networks and failing
// nodes do.
type proxy struct {
	t     testing.TB
	to    *httputil.ReverseProxy
	addr  string
	srv   *httptest.Server
	noOp  bool // Takes the op id away, as if the node did not know it.
	mu    sync.Mutex
	fault func(r *http.Request) fault // Guarded by mu.
	seen  atomic.Int64                // Requests.
	quick chan struct{}
}

type fault int

const (
	none  fault = iota
	lost        // The node gets the request, the client gets no answer.
	early       // The node does not get the request, the client gets no answer.
	busy        // 503.
	sick        // 404, as _up answers when a node is starting or draining.
	slow        // Nothing, until quick is closed.
)

func newProxy(t testing.TB, n *node) *proxy {
	t.Helper()
	u, err := url.Parse(n.url())
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	p := &proxy{t: t, addr: "127.0.0.1:0", quick: make(chan struct{}), to: &httputil.ReverseProxy{
		Transport:     tr,
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u) },
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}}
	p.start()
	t.Cleanup(func() {
		p.stop()
		tr.CloseIdleConnections()
	})
	return p
}

func (p *proxy) start() {
	p.t.Helper()
	ln, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.addr = ln.Addr().String()
	p.srv = &httptest.Server{Listener: ln, Config: &http.Server{Handler: p}}
	p.srv.Start()
}

func (p *proxy) stop() {
	if p.srv != nil {
		p.srv.CloseClientConnections()
		p.srv.Close()
		p.srv = nil
	}
}

func (p *proxy) url() string { return "http://" + p.addr }

// with has f decide on the fault of each request.
func (p *proxy) with(f func(r *http.Request) fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.seen.Add(1)
	p.mu.Lock()
	f := none
	if p.fault != nil {
		f = p.fault(r)
	}
	p.mu.Unlock()
	if p.noOp {
		r.Header.Del("X-Leap-Op")
	}
	switch f {
	case none:
		p.to.ServeHTTP(w, r)
	case lost:
		p.to.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case early:
		panic(http.ErrAbortHandler)
	case busy:
		w.WriteHeader(http.StatusServiceUnavailable)
	case sick:
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"status":"stopping"}`)) // To a client that may have gone.
	case slow:
		select { // Until the client has had enough.
		case <-r.Context().Done():
		case <-p.quick:
			p.to.ServeHTTP(w, r)
		}
	}
}

// writes reports whether a request changes something.
func writes(r *http.Request) bool {
	switch r.Method {
	case http.MethodPut, http.MethodDelete:
		return true
	case http.MethodPost:
		base := r.URL.Path[len(r.URL.Path)-min(10, len(r.URL.Path)):]
		return base == "_bulk_docs"
	}
	return false
}

// first has the first attempt of each write meet a fault.
func first(f fault) func(*http.Request) fault {
	done := map[string]bool{}
	return func(r *http.Request) fault {
		op := r.Header.Get("X-Leap-Op")
		if !writes(r) || done[op] {
			return none
		}
		done[op] = true
		return f
	}
}
