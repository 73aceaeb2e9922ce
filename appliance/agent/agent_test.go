package agent_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
)

// good applies a document that has to be good, and returns what was restarted
// for it.
func (w *world) good(d node.Document, secrets map[string][]byte) []string {
	w.t.Helper()
	v, said, err := w.apply(w.bundle(d, secrets))
	if err != nil || v.State != node.StateGood {
		w.t.Fatalf("generation %d is %+v, %v: %+v", d.Generation, v, err, said)
	}
	return w.sup.started()
}

// TestLife is the life of a node: it waits, is given documents, is started anew.
func TestLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if s := w.status(); s.Current.Number != 0 || s.MeshKey != "public of private" || s.Release != "1.2.0" || s.Node != "mail1" {
		t.Errorf("a new node says %+v", s)
	}
	d := w.document(1, map[string]part{"mx": {}, "dns": {}})
	mx := d.Services["mx"]
	mx.Files, mx.Secrets = map[string]string{"certs/a.crt": "PEM"}, map[string]string{"key": "mx-key"}
	d.Services["mx"] = mx
	d.Secrets = map[string]string{"mx-key": node.SecretDigest([]byte("one"))}
	secret := map[string][]byte{"mx-key": []byte("one")}
	if _, _, err := w.apply(w.bundle(d, nil)); !errors.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "lacks the secrets mx-key") {
		t.Errorf("without its secret: %v", err)
	}
	if got := w.good(d, secret); !slices.Equal(got, []string{"dns", "mx"}) {
		t.Errorf("started %v", got)
	}
	for path, want := range map[string]string{"mx/secrets/key": "one", "mx/files/certs/a.crt": "PEM"} {
		if got, err := os.ReadFile(filepath.Join(w.run, path)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", path, got, err)
		}
	}
	if s := w.status(); s.Current.State != node.StateGood || s.Good != 1 || !s.Services["mx"].Healthy || len(s.Trouble) > 0 {
		t.Errorf("it says %+v", s)
	}
	// The same again, and a part of it.
	d.Generation = 2
	if got := w.good(d, nil); len(got) > 0 || w.status().Current.Number != 1 {
		t.Errorf("an unchanged document started %v", got)
	}
	d.Secrets = map[string]string{"mx-key": node.SecretDigest([]byte("two"))}
	if got := w.good(d, map[string][]byte{"mx-key": []byte("two")}); !slices.Equal(got, []string{"mx"}) {
		t.Errorf("another key of mx started %v", got)
	}
	d.Generation, d.Services = 3, map[string]node.Service{"dns": d.Services["dns"]}
	if got := w.good(d, nil); len(got) > 0 {
		t.Errorf("a service less started %v", got)
	}
	if _, err := os.Stat(filepath.Join(w.run, "mx")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of the service that went there is: %v", err)
	}
	w.stop()
	w.start()
	w.eventually("dns runs again", func(s node.Status) bool { return s.Current.Number == 3 && s.Services["dns"].Healthy })
}

// eventually waits until a node says what is wanted.
func (w *world) eventually(what string, is func(node.Status) bool) {
	w.t.Helper()
	var s node.Status
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if s = w.status(); is(s) {
			return
		}
	}
	w.t.Fatalf("never: %s; it says %+v", what, s)
}

// TestBack gives a good node bad documents, and expects it to be what it was.
func TestBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.good(w.document(1, map[string]part{"mx": {}}), nil)
	for i, test := range []struct {
		name string
		d    node.Document
		want string
	}{
		{"never healthy", w.document(2, map[string]part{"mx": {Ill: "no queue", Says: `{"level":"ERROR","msg":"exiting","err":"read /perm"}`}}), "not healthy within 2s: mx: mx: no queue; it wrote: exiting: read /perm"},
		{"restarts", w.document(3, map[string]part{"mx": {Crash: true, Says: "panic: oh"}}), "mx has restarted while it was watched: status 2; it wrote: panic: oh"},
		{"no such card", func() node.Document {
			d := w.document(4, map[string]part{"mx": {}, "dns": {}})
			d.Network.Interfaces[0].Name = "broken"
			return d
		}(), "network: there is no such card"},
		{"no gateway", func() node.Document {
			d := w.document(5, map[string]part{"mx": {}})
			mx := d.Services["mx"]
			mx.Net = true
			d.Services["mx"] = mx
			return d
		}(), "tunnel: the kernel forwards nothing"},
		{"cut off", func() node.Document {
			d := w.document(6, map[string]part{"mx": {}})
			d.Network.Interfaces[0].MTU = 1400
			return d
		}(), "no operator has reached the node within 2s of the change of its network"},
	} {
		v, said, err := w.apply(w.bundle(test.d, nil))
		if err != nil || v.State != node.StateBad || v.Number != uint64(i+2) || v.Reason != test.want {
			t.Errorf("%s: %+v, %v: %+v", test.name, v, err, said)
		}
		w.eventually(test.name+": its service answers again", func(s node.Status) bool { return s.Services["mx"].Healthy })
		s := w.status()
		if s.Current.Number != 1 || s.Current.State != node.StateGood || !s.Services["mx"].Healthy || len(s.Services) != 1 || s.Highest != v.Number || s.Bad != v {
			t.Errorf("%s: it says %+v", test.name, s)
		}
		w.mu.Lock()
		if last := w.networks[len(w.networks)-1]; last.Interfaces[0].Name != "eth0" || last.Interfaces[0].MTU != 0 {
			t.Errorf("%s: the network is %+v", test.name, last)
		}
		w.mu.Unlock()
	}
}

// TestContact changes the network and reaches the node.
func TestContact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.good(w.document(1, nil), nil)
	d := w.document(2, nil)
	d.Network.Interfaces[0].MTU = 1400
	defer w.present()()
	w.good(d, nil)
}

// present has an operator come by new connections, as his tool does when it is
// told that the network has changed, until the function that it returns is called.
func (w *world) present() (leave func()) { return w.there(w.deployer()) }

// there has one operator reach the node again and again until he leaves.
func (w *world) there(cert *tls.Certificate) (leave func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				if resp, err := w.ask(cert, http.MethodGet, node.PathStatus, nil); err == nil {
					resp.Body.Close()
				}
			}
		}
	}()
	return func() { close(stop); <-done }
}

// TestCutOffOnTrial ends the agent while it waits for its operator after a change
// of the network: the next one waits too, and goes back. Who may only look is no
// operator.
func TestCutOffOnTrial(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.good(w.document(1, nil), nil)
	d := w.document(2, nil)
	d.Network.Interfaces[0].MTU = 1400
	resp, err := w.ask(w.deployer(), http.MethodPost, node.PathApply, w.bundle(d, nil))
	check(t, err)
	defer resp.Body.Close()
	w.eventually("it is on trial", func(s node.Status) bool { return s.Current.Number == 2 && s.Current.State == node.StateTrial })
	w.stop()
	w.start()
	w.eventually("it went back", func(s node.Status) bool { return s.Current.Number == 1 })
	if s := w.status(); s.Bad.Number != 2 || !strings.Contains(s.Bad.Reason, "no operator has reached the node") {
		t.Errorf("it says %+v", s)
	}
	w.good(w.document(3, map[string]part{"dns": {}}), nil)
	if s := w.status(); s.Bad != (node.Generation{}) {
		t.Errorf("after a good one it says %+v", s)
	}
}

// TestCrashOnTrial ends the agent in the middle of a judgement: the next one
// judges.
func TestCrashOnTrial(t *testing.T) {
	t.Parallel()
	for _, ill := range []string{"", "no queue"} {
		w := newWorld(t)
		w.good(w.document(1, map[string]part{"mx": {}}), nil)
		d := w.document(2, map[string]part{"mx": {Ill: ill}, "dns": {}})
		d.Gate.Watch = node.Duration(time.Hour)
		d.Gate.Ready = node.Duration(time.Hour)
		resp, err := w.ask(w.deployer(), http.MethodPost, node.PathApply, w.bundle(d, nil))
		check(t, err)
		w.eventually("it is on trial", func(s node.Status) bool { return s.Current.Number == 2 && s.Current.State == node.StateTrial })
		resp.Body.Close()
		if _, _, err := w.apply(w.bundle(w.document(3, nil), nil)); !errors.Is(err, problem.Unavailable) {
			t.Errorf("a second document: %v", err)
		}
		w.stop()
		w.start()
		w.eventually("it is on trial again", func(s node.Status) bool { return s.Current.Number == 2 && s.Services["dns"].Running })
		w.stop()
	}
}

// TestCrashBetween leaves what a crash leaves between the steps of keeping a
// document and of going back.
func TestCrashBetween(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.good(w.document(1, map[string]part{"mx": {}}), nil)
	w.stop()
	// A directory without a document, and a bad one that is still current.
	check(t, os.MkdirAll(filepath.Join(w.dir, "node", "9"), 0o700))
	bad := filepath.Join(w.dir, "node", "5")
	check(t, os.MkdirAll(bad, 0o700))
	text, err := json.Marshal(w.bundle(w.document(5, map[string]part{"dns": {}}), nil).Document)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(bad, "document.json"), text, 0o600))
	check(t, os.WriteFile(filepath.Join(bad, "state.json"), []byte(`{"number":5,"digest":"","state":"bad","reason":"ill"}`), 0o600))
	check(t, os.WriteFile(filepath.Join(w.dir, "node", "current"), []byte("5"), 0o600))
	w.start()
	w.eventually("it went back", func(s node.Status) bool { return s.Current.Number == 1 && s.Services["mx"].Healthy })
	if _, _, err := w.apply(w.bundle(w.document(9, nil), nil)); !errors.Is(err, problem.Stale) {
		t.Errorf("a number that was given: %v", err)
	}
	w.good(w.document(10, map[string]part{"mx": {}, "dns": {}}), nil)
}

// TestPrune keeps few generations, and no secret that none of them names.
func TestPrune(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range uint64(8) {
		d := w.document(n+1, map[string]part{"mx": {}})
		value := []byte{byte(n)}
		d.Secrets = map[string]string{"k": node.SecretDigest(value)}
		w.good(d, map[string][]byte{"k": value})
	}
	kept, err := os.ReadDir(filepath.Join(w.dir, "node"))
	check(t, err)
	if len(kept) != 4+1 { // Four generations, and which is current.
		t.Errorf("kept are %v", kept)
	}
	if s := w.status(); len(s.Secrets) != 4 || !slices.Contains(s.Secrets, node.SecretDigest([]byte{7})) {
		t.Errorf("secrets are %v", s.Secrets)
	}
}

// TestRefused pushes what must be refused before anything is touched.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.good(w.document(5, nil), nil)
	change := func(f func(*node.Document)) node.Bundle {
		d := w.document(6, map[string]part{"mx": {}})
		f(&d)
		return w.bundle(d, nil)
	}
	forged := w.bundle(w.document(6, nil), nil)
	forged.Document.Signature[3] ^= 1
	for name, test := range map[string]struct {
		b    node.Bundle
		kind problem.Kind
		want string
	}{
		"forged":         {forged, problem.Permission, "not the provider's"},
		"older":          {change(func(d *node.Document) { d.Generation = 5 }), problem.Stale, "generation 5 is not newer than 5"},
		"other node":     {change(func(d *node.Document) { d.Node = "web1" }), problem.Invalid, "for web1 of demo.example, and this is mail1"},
		"newer image":    {change(func(d *node.Document) { d.LeastImage = "1.10.0" }), problem.Invalid, "needs release 1.10.0, and this node runs 1.2.0"},
		"unknown member": {node.Bundle{Document: node.Sign(w.signer, node.ForDocument, []byte(`{"schema":1,"color":"red"}`))}, problem.Invalid, "1:13: /color: there is no such member"},
		"nonsense": {change(func(d *node.Document) {
			d.Services["mx"] = node.Service{Sections: map[string]json.RawMessage{"part": json.RawMessage(`"nonsense"`)}}
		}), problem.Invalid, "service mx: nonsense in the configuration"},
		"foreign secret": {node.Bundle{Document: w.bundle(w.document(6, map[string]part{"mx": {}}), nil).Document, Secrets: map[string][]byte{"x": []byte("hush")}}, problem.Invalid, `secret "x" is pushed`},
	} {
		_, _, err := w.apply(test.b)
		if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, not about %q", name, err, test.want)
		}
	}
	if s := w.status(); s.Current.Number != 5 || s.Highest != 5 {
		t.Errorf("it says %+v", s)
	}
}

// TestCertificate renews the agent's own certificate by a document.
func TestCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	serial := func() string {
		t.Helper()
		resp, err := w.ask(w.deployer(), http.MethodGet, node.PathStatus, nil)
		check(t, err)
		defer resp.Body.Close()
		return resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	d := w.document(1, map[string]part{"mx": {}})
	d.Agent.Certificate = w.renewed(t, node.ServerName("mail1", "demo.example"))
	mx := d.Services["mx"]
	mx.Files = map[string]string{"server.crt": d.Agent.Certificate + w.nodes.pem()}
	d.Services["mx"] = mx
	leave := w.present()
	w.good(d, nil)
	leave()
	second := serial()
	if s := w.status(); second == first || len(s.Certificates) != 3 || s.Certificates["agent"].IsZero() || !s.Certificates["mx/server.crt"].Equal(s.Certificates["agent"]) {
		t.Errorf("the certificate %s became %s, and it says %v", first, second, s.Certificates)
	}
	w.stop()
	w.start()
	w.eventually("it has its document", func(s node.Status) bool { return s.Current.Number == 1 })
	if now := serial(); now != second {
		t.Errorf("after a restart it has %s, not %s", now, second)
	}
	other, _ := w.nodes.sign(t, &x509.Certificate{DNSNames: []string{node.ServerName("mail1", "demo.example")}})
	for want, text := range map[string]string{
		"none of the key that this node was born with": other,
		"not mail1.node.demo.example":                  w.renewed(t, "web1.node.demo.example"),
	} {
		d.Generation, d.Agent.Certificate = 2, text
		if _, _, err := w.apply(w.bundle(d, nil)); !errors.Is(err, problem.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestOwners looks at who may open what a service is given.
func TestOwners(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("giving files to other users needs root")
	}
	w := newWorld(t)
	w.stop()
	w.own = true
	w.start()
	d := w.document(1, map[string]part{"mx": {}})
	mx := d.Services["mx"]
	mx.Files, mx.Secrets = map[string]string{"certs/a.crt": "PEM"}, map[string]string{"key": "mx-key"}
	d.Services["mx"] = mx
	d.Secrets = map[string]string{"mx-key": node.SecretDigest([]byte("one"))}
	w.good(d, map[string][]byte{"mx-key": []byte("one")})
	id, _ := node.ID("mx")
	for path, want := range map[string]string{
		w.run + "/mx":                   fmt.Sprint("drwxr-x--- 0 ", id),
		w.run + "/mx/config.json":       fmt.Sprint("-r--r----- 0 ", id),
		w.run + "/mx/launch.json":       "-r-------- 0 0",
		w.run + "/mx/files/certs":       fmt.Sprint("drwxr-x--- 0 ", id),
		w.run + "/mx/files/certs/a.crt": fmt.Sprint("-r--r----- 0 ", id),
		w.run + "/mx/secrets":           fmt.Sprint("drwxr-x--- 0 ", id),
		w.run + "/mx/secrets/key":       fmt.Sprint("-r--r----- 0 ", id),
		w.run + "/mx/health":            fmt.Sprint("drwxr-x--- ", id, id),
		w.run + "/mx/memory":            fmt.Sprint("drwx------ ", id, id),
		w.dir + "/state/mx":             fmt.Sprint("drwx------ ", id, id),
		w.dir + "/keys":                 "drwx------ 0 0",
		w.dir + "/keys/mesh.key":        "-r-------- 0 0",
		w.dir + "/node/1":               "drwx------ 0 0",
		w.dir + "/node/1/document.json": "-rw------- 0 0",
	} {
		info, err := os.Stat(path)
		check(t, err)
		stat := info.Sys().(*syscall.Stat_t)
		if got := fmt.Sprint(info.Mode(), " ", stat.Uid, " ", stat.Gid); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	check(t, os.WriteFile(w.run+"/mx/memory/f", nil, 0o600))
	check(t, os.WriteFile(w.run+"/mx/files/old", nil, 0o600))
	w.good(w.document(2, map[string]part{"mx": {Says: "another configuration"}}), nil)
	_, err := os.Stat(w.run + "/mx/memory/f")
	check(t, err)
	if _, err := os.Stat(w.run + "/mx/files/old"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file of another generation: %v", err)
	}
}

// TestNoPerm is a node whose writable partition cannot be used: it says so, and
// takes nothing that it could not keep.
func TestNoPerm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	w.boot = node.Boot{Trouble: []string{"opening perm: it is damaged"}}
	w.start()
	if s := w.status(); !slices.Contains(s.Trouble, w.boot.Trouble[0]) {
		t.Errorf("it says %+v", s)
	}
	if _, _, err := w.apply(w.bundle(w.document(1, nil), nil)); !errors.Is(err, problem.Unavailable) || !strings.Contains(err.Error(), "can keep nothing: opening perm") {
		t.Errorf("a document: %v", err)
	}
}

// TestTimeless lets operators in by certificates whose dates are wrong while the
// node does not know the time, and nobody else.
func TestTimeless(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clockUnknown.Store(true)
	for name, test := range map[string]struct {
		cert *tls.Certificate
		want string
	}{
		"expired":     {w.operators.operator(t, node.RoleRead, time.Now().Add(-time.Minute)), ""},
		"of somebody": {newAuthority(t).operator(t, node.RoleRead, time.Now().Add(time.Hour)), "bad certificate"},
		"none":        {nil, "certificate required"},
	} {
		resp, err := w.ask(test.cert, http.MethodGet, node.PathStatus, nil)
		if err == nil {
			resp.Body.Close()
		}
		if (test.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// TestOperators lets in who has a certificate, as far as its role goes.
func TestOperators(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hour := time.Now().Add(time.Hour)
	for name, test := range map[string]struct {
		ask  func() (*http.Response, error)
		want string
	}{
		"no certificate": {func() (*http.Response, error) { return w.ask(nil, http.MethodGet, node.PathStatus, nil) }, "certificate required"},
		"an expired one": {func() (*http.Response, error) {
			return w.ask(w.operators.operator(t, node.RoleDeploy, time.Now().Add(-time.Minute)), http.MethodGet, node.PathStatus, nil)
		}, "expired certificate"},
		"one of somebody": {func() (*http.Response, error) {
			return w.ask(newAuthority(t).operator(t, node.RoleDeploy, hour), http.MethodGet, node.PathStatus, nil)
		}, "unknown certificate authority"},
		"read-only, deploys": {func() (*http.Response, error) {
			return w.ask(w.operators.operator(t, node.RoleRead, hour), http.MethodPost, node.PathApply, w.bundle(w.document(1, nil), nil))
		}, `403 {"type":"permission","detail":"this certificate has the role`},
		"read-only, restarts": {func() (*http.Response, error) {
			return w.ask(w.operators.operator(t, node.RoleRead, hour), http.MethodPost, node.PathReboot, nil)
		}, "403"},
		"read-only, looks": {func() (*http.Response, error) {
			return w.ask(w.operators.operator(t, node.RoleRead, hour), http.MethodGet, node.PathStatus, nil)
		}, `200 {"provider":"demo.example"`},
		"read-only, measures": {func() (*http.Response, error) {
			return w.ask(w.operators.operator(t, node.RoleRead, hour), http.MethodGet, node.PathMetrics, nil)
		}, "leap_node_generation 0"},
		"no role": {func() (*http.Response, error) {
			return w.ask(w.operators.operator(t, "", hour), http.MethodGet, node.PathStatus, nil)
		}, "403"},
		"logs": {func() (*http.Response, error) {
			return w.ask(w.deployer(), http.MethodGet, node.PathLogs+"?service=mx&lines=7&follow=1", nil)
		}, `"text":"7 true"`},
		"logs of nobody": {func() (*http.Response, error) {
			return w.ask(w.deployer(), http.MethodGet, node.PathLogs+"?service=exim", nil)
		}, "404"},
		"a bundle of noise": {func() (*http.Response, error) {
			return w.ask(w.deployer(), http.MethodPost, node.PathApply, []string{"x"})
		}, "400"},
		"no page": {func() (*http.Response, error) { return w.ask(w.deployer(), http.MethodGet, "/shell", nil) }, "404"},
	} {
		var got string
		resp, err := test.ask()
		if err != nil {
			got = err.Error()
		} else {
			body, err := io.ReadAll(resp.Body)
			check(t, err)
			resp.Body.Close()
			got = resp.Status[:4] + string(body)
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, not %q", name, got, test.want)
		}
	}
}
