package tufrepo

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

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
				if _, err := Verify(t.Context(), r.Public(), nil, begin, nil); err != nil {
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

// TestItemsComplete: whatever is signed differently is shown differently.
func TestItemsComplete(t *testing.T) {
	k := signers(t, "alice", "bob", "rollout", "online")
	first, err := Init(filepath.Join(t.TempDir(), "repo"), founding(k), begin)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*Event{first, release(t, published(t, k), "new")} {
		for _, role := range e.Roles {
			if shown := completeItems(t, e, role); shown < 4 {
				t.Errorf("%s of %s: only %d edits", role, e.Name, shown)
			}
		}
	}
}

// completeItems edits everything in a role, and counts the edits that can be signed.
func completeItems(t *testing.T, e *Event, role string) (shown int) {
	t.Helper()
	text, err := e.next[role].bytes()
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	edit(whole["signed"], func() {
		text, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		other, err := parseRole(role, text)
		if err != nil || bytes.Equal(other.payload, e.next[role].payload) {
			return // No signer gets that far.
		}
		list, err := changes(e.next[role], other, e.names)
		if err != nil || len(list) == 0 {
			t.Errorf("%s: not shown: %s (%v)", role, text, err)
		}
		shown++
	})
	return shown
}

// edit changes each value below v in turn, calls f, and changes it back.
func edit(v any, f func()) {
	switch v := v.(type) {
	case map[string]any:
		v["x y\x1b[2J"] = "new" // Unknown to everybody.
		f()
		delete(v, "x y\x1b[2J")
		for name, old := range v {
			edit(old, f)
			v[name] = other(old)
			f()
			v[name] = old
		}
	case []any:
		for i, old := range v {
			edit(old, f)
			v[i] = other(old)
			f()
			v[i] = old
		}
		if len(v) > 1 {
			v[0], v[1] = v[1], v[0]
			f()
			v[0], v[1] = v[1], v[0]
		}
	}
}

func other(v any) any {
	switch v := v.(type) {
	case string:
		if _, err := time.Parse(time.RFC3339, v); err == nil {
			return "2030-01-01T00:00:00Z"
		}
		return v + "x"
	case float64:
		return v + 1
	case bool:
		return !v
	case map[string]any:
		return map[string]any{}
	}
	return nil
}

// TestTerminal: what is shown cannot move a cursor.
func TestTerminal(t *testing.T) {
	for _, s := range []string{"\x1b[2J", "a\nb", "\u202e", "a b", `a"b`, "é"} {
		for _, got := range []string{plain(s), compact(map[string]any{s: s})} {
			for _, r := range got {
				if r < ' ' || r > '~' {
					t.Errorf("%q is shown as %q", s, got)
				}
			}
		}
	}
}

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

func TestKeyFile(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.key.age")
	made, err := NewKeyFile("a", path, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadKeyFile(path, id)
	if err != nil || read.Public().ID() != made.Public().ID() {
		t.Errorf("got %v, %v", read, err)
	}
	if _, err := ReadKeyFile(path, stranger); !errors.Is(err, ErrKey) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := NewKeyFile("a", path, id.Recipient()); !errors.Is(err, ErrExists) {
		t.Errorf("a second one: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil || bytes.Contains(text, made.private.Seed()) {
		t.Error("the key is in the file as it is")
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewPublicKey("a", p384.Public()); !errors.Is(err, ErrKey) {
		t.Errorf("P-384: %v", err)
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
