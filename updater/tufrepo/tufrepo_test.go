package tufrepo

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"leap.example/updater/tuftest"
)

var begin = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// signers makes keys that live in memory.
func signers(t testing.TB, names ...string) map[string]*KeyFile {
	t.Helper()
	out := map[string]*KeyFile{}
	for _, name := range names {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewPublicKey(name, public)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = &KeyFile{p, private}
	}
	return out
}

// founding is a policy of two signers for everything.
func founding(k map[string]*KeyFile) Policy {
	p := Policy{Name: "vendor.example", Roles: VendorRoles()}
	for i := range p.Roles {
		r := &p.Roles[i]
		switch {
		case online(r.Role):
			r.Keys = []*PublicKey{k["online"].public}
		case r.Role == "rollout":
			r.Keys = []*PublicKey{k["rollout"].public}
		default:
			r.Keys, r.Threshold = []*PublicKey{k["alice"].public, k["bob"].public}, 2
		}
	}
	return p
}

func signAll(t testing.TB, e *Event, k map[string]*KeyFile) {
	t.Helper()
	for _, s := range k {
		if _, err := e.Sign(t.Context(), s); err != nil && !errors.Is(err, ErrNotSigner) {
			t.Fatal(err)
		}
	}
}

// published is a repository that is public, in a new directory.
func published(t testing.TB, k map[string]*KeyFile) *Repo {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	e, err := Init(dir, founding(k), begin)
	if err != nil {
		t.Fatal(err)
	}
	signAll(t, e, k)
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Publish(t.Context(), "init", k["online"], begin, nil); err != nil {
		t.Fatal(err)
	}
	return r
}

// look has go-tuf's client look for a target in a tree.
func look(public, own, path string, now time.Time) ([]byte, error) {
	all, err := tuftest.Stock(own, public, now, path)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

const (
	leapc       = "client/linux-amd64/1/leapc"
	description = `{"schema":1,"release":"1","variant":"client","version":"1","os":"linux","arch":"amd64","state":{"oldest":1,"newest":1},"least_ram_mib":64}`
)

var errDisk = errors.New("the disk is full")

// TestBrokenDisk ends a publication at each write, before it or in the middle of
// the file: clients see what was before, or what is after, and the same call does
// the rest. The event changes a target, delegations, root, and the online key.
func TestBrokenDisk(t *testing.T) {
	k := signers(t, "alice", "bob", "rollout", "online", "online2", "frank")
	for _, test := range []struct {
		name   string
		change func(t *testing.T, r *Repo) *Event
		online string
	}{
		{"a release", func(t *testing.T, r *Repo) *Event { return release(t, r, "new") }, "online"},
		{"other keys", func(t *testing.T, r *Repo) *Event {
			e, err := r.Rotate("new", "why", KeyChange{Roles: []string{"snapshot", "timestamp"}, Add: []*PublicKey{k["online2"].public}, Remove: []string{"online"}}, begin)
			if err != nil {
				t.Fatal(err)
			}
			return e
		}, "online2"},
		{"other signers", func(t *testing.T, r *Repo) *Event {
			e, err := r.Rotate("new", "why", KeyChange{Roles: []string{"root", "targets", "release"}, Add: []*PublicKey{k["frank"].public}, Remove: []string{"bob"}}, begin)
			if err != nil {
				t.Fatal(err)
			}
			return e
		}, "online"},
	} {
		t.Run(test.name, func(t *testing.T) {
			whole := published(t, k)
			signAll(t, release(t, whole, "old"), k)
			if err := whole.Publish(t.Context(), "old", k["online"], begin, nil); err != nil {
				t.Fatal(err)
			}
			signAll(t, test.change(t, whole), k)
			for at := 1; ; at++ {
				dir, own := filepath.Join(t.TempDir(), "repo"), filepath.Join(t.TempDir(), "client")
				if err := os.CopyFS(dir, os.DirFS(whole.dir)); err != nil {
					t.Fatal(err)
				}
				r, err := Open(dir)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := look(r.Public(), own, leapc, begin); err != nil {
					t.Fatal(err)
				}
				breakAt(r, at)
				err = r.Publish(t.Context(), "new", k[test.online], begin, nil)
				if err == nil {
					if at < 4 {
						t.Fatalf("only %d writes", at-1)
					}
					t.Logf("%d writes", at-1)
					return
				}
				if !errors.Is(err, errDisk) {
					t.Fatalf("write %d: %v", at, err)
				}
				// Between root and timestamp a rotation of what the timestamp needs
				// cannot be seen: clients wait, and lose nothing.
				text, err := look(r.Public(), own, leapc, begin)
				if err != nil && test.name == "a release" {
					t.Errorf("write %d: a client: %v", at, err)
				}
				if err == nil && string(text) != "old" {
					t.Errorf("write %d: a client got %q", at, text)
				}
				r.write = put
				if err := r.Publish(t.Context(), "new", k[test.online], begin, nil); err != nil {
					t.Fatalf("write %d, again: %v", at, err)
				}
				if _, err := look(r.Public(), own, leapc, begin); err != nil {
					t.Fatalf("write %d, again: a client: %v", at, err)
				}
				if _, err := Verify(t.Context(), r.Public(), nil, false, begin, nil); err != nil {
					t.Fatalf("write %d, again: %v", at, err)
				}
			}
		})
	}
}

// release makes an event with a target that has its name as content.
func release(t *testing.T, r *Repo, name string) *Event {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(name), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := r.Change(t.Context(), name, "why", []Addition{{Path: leapc, File: file, Custom: []byte(description)}}, nil, begin, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// breakAt has write number n fail: odd ones before, even ones in the middle.
func breakAt(r *Repo, n int) {
	count := 0
	r.write = func(path string, from io.Reader, mode fs.FileMode) error {
		if count++; count != n {
			return put(path, from, mode)
		}
		if n%2 == 0 {
			return put(path, io.MultiReader(io.LimitReader(from, 1), brokenReader{}), mode)
		}
		return errDisk
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errDisk }

func TestBusy(t *testing.T) {
	k := signers(t, "alice", "bob", "rollout", "online")
	r := published(t, k)
	unlock, err := r.lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Timestamp(t.Context(), k["online"], begin); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	unlock()
	if err := r.Timestamp(t.Context(), k["online"], begin); err != nil {
		t.Error(err)
	}
}

// TestLongJob: for a month a job runs daily, and clients are content on each day;
// the snapshot is renewed too.
func TestLongJob(t *testing.T) {
	k := signers(t, "alice", "bob", "rollout", "online")
	r := published(t, k)
	signAll(t, release(t, r, "old"), k)
	if err := r.Publish(t.Context(), "old", k["online"], begin, nil); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "client")
	for day := range 30 {
		now := begin.AddDate(0, 0, day)
		if err := r.Timestamp(t.Context(), k["online"], now); err != nil {
			t.Fatal(err)
		}
		if _, err := look(r.Public(), own, leapc, now); err != nil {
			t.Fatalf("on day %d: %v", day, err)
		}
	}
	roles, err := r.Status(begin.AddDate(0, 0, 29))
	if err != nil || roles[1].Role != "snapshot" || roles[1].Version < 4 || roles[0].Version != 32 {
		t.Errorf("got %+v, %v", roles, err)
	}
}

// TestCancelled: who stops a long hashing gets no event.
func TestCancelled(t *testing.T) {
	r := published(t, signers(t, "alice", "bob", "rollout", "online"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Change(ctx, "new", "", []Addition{{Path: leapc, File: "tufrepo_test.go", Custom: []byte(description)}}, nil, begin, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if names, err := r.Events(); err != nil || len(names) > 0 {
		t.Errorf("got %q, %v", names, err)
	}
}
