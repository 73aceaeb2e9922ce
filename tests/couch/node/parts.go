package node

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// InParts starts what start does behind proxies that have each new database made
// in four parts, unless its maker says otherwise.
func InParts(start Starter) Starter {
	return func(t testing.TB) Database {
		t.Helper()
		d := start(t)
		for i, to := range d.URLs {
			d.URLs[i] = front(t, to)
		}
		return d
	}
}

func front(t testing.TB, to string) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	srv := httptest.NewServer(&httputil.ReverseProxy{
		Transport: tr, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host
			name := strings.Trim(r.In.URL.EscapedPath(), "/")
			query := r.In.URL.Query()
			if r.In.Method == http.MethodPut && !strings.Contains(name, "/") && !strings.HasPrefix(name, "_") && !query.Has("q") {
				query.Set("q", "4")
				r.Out.URL.RawQuery = query.Encode()
			}
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		tr.CloseIdleConnections()
	})
	return srv.URL
}
