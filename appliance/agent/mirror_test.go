package agent_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/updater/tufclient"
	"leap.example/updater/tufrepo"
	"leap.example/updater/tuftest"
)

// TestMirror brings a bundle to a node without network, through the API.
func TestMirror(t *testing.T) {
	w := newWorld(t)
	repo := tuftest.New(t, time.Now())
	dir := t.TempDir()
	m := tufrepo.Mirror{
		Repository: tufclient.Repository{Name: "director", Root: repo.RootFile(1), Sources: []tufclient.Source{repo.Mirror()}},
		Dir:        filepath.Join(dir, "director"), State: filepath.Join(dir, ".state"), Bare: true,
	}
	c, err := m.Sync(t.Context())
	check(t, err)
	var bundle bytes.Buffer
	check(t, tufrepo.WriteBundle(t.Context(), &bundle, []tufrepo.BundleTree{{Name: "director", Dir: m.Dir, Files: c.Files}}, nil))
	put := func(role string, body []byte) string {
		t.Helper()
		resp, err := w.send(w.operators.operator(t, role, time.Now().Add(time.Hour)), http.MethodPut, node.PathMirror, body)
		check(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		check(t, err)
		return resp.Status + " " + string(text)
	}
	refused := func(name, got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	refused("before a document says so", put(node.RoleDeploy, bundle.Bytes()), "400 Bad Request")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	port := ln.Addr().(*net.TCPAddr).Port
	check(t, ln.Close())
	d := w.document(1, nil)
	d.Mesh = &node.Mesh{Address: netip.MustParsePrefix("127.0.0.1/8"), Port: 51820}
	root := string(repo.RootFile(1))
	d.Updates = &node.Updates{
		Vendor:   node.Repository{Sources: []string{"http://127.0.0.1:1/vendor/"}, Root: root},
		Director: node.Repository{Sources: []string{"http://127.0.0.1:1/director/"}, Root: root},
		Mirror:   &node.Mirror{Port: uint16(port)},
	}
	if v, _, err := w.apply(w.bundle(d, nil)); err != nil || v.State != node.StateGood {
		t.Fatalf("the document: %+v, %v", v, err)
	}
	refused("who may only look", put(node.RoleRead, bundle.Bytes()), "403 Forbidden")
	refused("half a bundle", put(node.RoleDeploy, bundle.Bytes()[:bundle.Len()/2]), "400 Bad Request")
	w.free.Store(100)
	refused("a full disk", put(node.RoleDeploy, bundle.Bytes()), "429 Too Many Requests")
	w.free.Store(50 << 20)
	said := put(node.RoleDeploy, bundle.Bytes())
	refused("a good bundle", said, "200 OK")
	var copies []node.Copy
	check(t, json.Unmarshal([]byte(said[len("200 OK "):]), &copies))
	if len(copies) != 1 || copies[0].Name != "director" || copies[0].Expires.IsZero() || copies[0].Error != "" {
		t.Errorf("the node has %+v", copies)
	}
	if s := w.status(); len(s.Mirror) != 1 {
		t.Errorf("the status has %+v", s.Mirror)
	}
	url := "http://" + netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)).String() + "/director/metadata/timestamp.json"
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatalf("other nodes do not find it: %v, %v", resp, err)
		}
	}
}
