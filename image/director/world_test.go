package director_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"leap.example/image/director"
	"leap.example/image/provider"
	"leap.example/updater/tufclient"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A world is a provider with a director, whose admins are alice and, if two have to
// sign, bob.
type world struct {
	t         *testing.T
	dir       string
	operators map[string]*provider.Operator
}

func newWorld(t *testing.T, admins ...string) *world {
	t.Helper()
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "demo"), operators: map[string]*provider.Operator{}}
	keys := filepath.Join(t.TempDir(), "alice.json")
	must(t, provider.New(w.dir, provider.Answers{Domain: "demo.example", Name: "Demo", Contact: "alice@demo.example", Enrollment: "open", Operator: "alice"}, keys, time.Now()))
	alice, err := provider.ReadOperator(keys)
	must(t, err)
	w.operators["alice"] = alice
	i, v := w.instance("alice")
	for _, name := range admins {
		if name != "alice" {
			op, err := provider.NewOperator("demo.example", name)
			must(t, err)
			w.operators[name] = op
			req, err := op.Request()
			must(t, err)
			_, err = i.AddUser(v, req, "deploy", time.Now())
			must(t, err)
		}
		_, err := director.NewKey(i, w.operators[name])
		must(t, err)
	}
	i, v = w.instance("alice")
	must(t, v.Rekey())
	_, err = director.Init(i, v, alice, admins, len(admins), time.Now)
	must(t, err)
	for _, name := range admins {
		_, err := w.as(name).Sign(t.Context(), "init")
		must(t, err)
	}
	return w
}

func (w *world) instance(name string) (*provider.Instance, *provider.Vault) {
	w.t.Helper()
	i, err := provider.Open(w.dir)
	must(w.t, err)
	v, err := i.Unlock(w.operators[name])
	must(w.t, err)
	return i, v
}

// as opens the director anew, as a command of an operator does.
func (w *world) as(name string) *director.Director {
	w.t.Helper()
	i, v := w.instance(name)
	d, err := director.Open(i, v, w.operators[name], time.Now)
	must(w.t, err)
	return d
}

// path is that of a file of the instance.
func (w *world) path(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

func (w *world) read(name string) []byte {
	w.t.Helper()
	text, err := os.ReadFile(w.path(name))
	must(w.t, err)
	return text
}

// nodes checks that nodes, which begin with the first root, take what is public.
func (w *world) nodes() {
	w.t.Helper()
	d := w.as("alice")
	root, err := d.Root()
	must(w.t, err)
	c, err := tufclient.Open(tufclient.Config{
		Repositories: []tufclient.Repository{{Name: "director", Root: root, Sources: []tufclient.Source{tufclient.Dir(d.Public())}}},
		Dir:          filepath.Join(w.t.TempDir(), "state"), Clock: time.Now,
	})
	must(w.t, err)
	if _, err := c.Check(w.t.Context()); err != nil {
		w.t.Errorf("nodes refuse what is public: %v", err)
	}
}
