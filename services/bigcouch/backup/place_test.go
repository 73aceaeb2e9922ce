package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/services/bigcouch/backup"
	"leap.example/services/bigcouch/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func name(node string, day int) string {
	return backup.Name(backup.Header{Node: node, Time: time.Date(2026, 1, day, 2, 3, 4, 0, time.UTC)})
}

// broken fails after some bytes.
type broken struct {
	n   int
	err error
}

func (b *broken) Read(p []byte) (int, error) {
	if b.n == 0 {
		return 0, b.err
	}
	n := min(b.n, len(p))
	b.n -= n
	return n, nil
}

// Every place keeps whole backups, and nothing of others.
func TestPlaces(t *testing.T) {
	server := s3test.New(t)
	dir := t.TempDir()
	where := backup.Location{S3: backup.S3{Endpoint: server.URL, Credentials: server.Credentials, PartBytes: 5 << 20}}
	for _, tt := range []struct {
		name, where string
		clean       func() bool // Nothing is left of what was not whole.
	}{
		{"directory", filepath.Join(dir, "new"), func() bool {
			left, err := filepath.Glob(filepath.Join(dir, "new", ".partial*"))
			return err == nil && len(left) == 0
		}},
		{"s3", "s3://" + s3test.Bucket + "/some/where/", func() bool { return server.Pending() == 0 }},
		{"s3 without prefix", "s3://" + s3test.Bucket, func() bool { return server.Pending() == 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) { place(t, where, tt.where, tt.clean) })
	}
}

func place(t *testing.T, where backup.Location, at string, clean func() bool) {
	ctx := t.Context()
	p, err := where.Place(at)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := p.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("an empty place has %v, %v", list, err)
	}
	if _, _, err := where.Find(ctx, at); !errors.Is(err, backup.ErrNoBackup) {
		t.Errorf("found in an empty place: %v", err)
	}
	if _, err := p.Open(ctx, name("a", 1)); !errors.Is(err, backup.ErrNoBackup) {
		t.Errorf("opened what is not there: %v", err)
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 800_000) // Three parts.
	for day := range 4 {
		if err := p.Put(ctx, name("a", day+1), bytes.NewReader(content[day:])); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []string{name("a-b", 1), name("b", 9)} {
		if err := p.Put(ctx, other, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{errors.New("lost"), io.ErrUnexpectedEOF} {
		for _, n := range []int{10, 6 << 20} {
			if got := p.Put(ctx, name("a", 20), &broken{n, err}); !errors.Is(got, err) {
				t.Errorf("%v after %d bytes: %v", err, n, got)
			}
		}
	}
	stop, cancel := context.WithCancel(ctx)
	cancel()
	if err := p.Put(stop, name("a", 20), bytes.NewReader(content)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	want := []string{name("a", 1), name("a", 2), name("a", 3), name("a", 4), name("a-b", 1), name("b", 9)}
	slices.Sort(want)
	if list, err := p.List(ctx); err != nil || !slices.Equal(list, want) || !clean() {
		t.Errorf("list %v, %v; want %v; clean %v", list, err, want, clean())
	}
	r, err := p.Open(ctx, name("a", 3))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, content[2:]) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if _, names, err := where.Find(ctx, at); err != nil || !slices.Equal(names, []string{name("a", 4), name("a-b", 1), name("b", 9)}) {
		t.Errorf("the latest: %v, %v", names, err)
	}
	if _, names, err := where.Find(ctx, strings.TrimSuffix(at, "/")+"/"+name("a", 2)); err != nil || !slices.Equal(names, []string{name("a", 2)}) {
		t.Errorf("one: %v, %v", names, err)
	}
	gone, err := backup.Prune(ctx, p, "bigcouch@a", 1)
	if err != nil || !slices.Equal(gone, []string{name("a", 1), name("a", 2), name("a", 3)}) {
		t.Errorf("pruned %v, %v", gone, err)
	}
	if gone, err := backup.Prune(ctx, p, "bigcouch@a", 0); err != nil || len(gone) > 0 {
		t.Errorf("pruned %v, %v", gone, err)
	}
	if list, err := p.List(ctx); err != nil || len(list) != 3 {
		t.Errorf("after pruning: %v, %v", list, err)
	}
}

// A part is refused: nothing is kept, and nothing is left behind.
func TestS3Refuses(t *testing.T) {
	server := s3test.New(t)
	where := backup.Location{S3: backup.S3{Endpoint: server.URL, Credentials: server.Credentials, PartBytes: 5 << 20}}
	p, err := where.Place("s3://" + s3test.Bucket + "/x")
	if err != nil {
		t.Fatal(err)
	}
	server.RefuseFrom(2)
	if err := p.Put(t.Context(), name("a", 1), bytes.NewReader(make([]byte, 12<<20))); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("error %v", err)
	}
	if len(server.Objects()) > 0 || server.Pending() > 0 {
		t.Errorf("left: %d objects, %d uploads", len(server.Objects()), server.Pending())
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("[default]\naws_access_key_id = nobody\naws_secret_access_key = x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	where.S3.Credentials = other
	if p, err = where.Place("s3://" + s3test.Bucket + "/x"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.List(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("another account: %v", err)
	}
}

func TestLocations(t *testing.T) {
	for _, tt := range []struct{ where, endpoint, credentials string }{
		{"", "", ""},
		{"ftp://x/y", "", ""},
		{"s3://b/p", "", ""},
		{"s3://b/p", "", "/nosuch"},
		{"s3:///p", "https://h", "x"},
		{"s3://b/p", "h", "x"},
		{"s3://b/p", "https://h/path", "x"},
	} {
		l := backup.Location{S3: backup.S3{Endpoint: tt.endpoint, Credentials: tt.credentials}}
		if _, err := l.Place(tt.where); err == nil {
			t.Errorf("%+v: no error", tt)
		}
	}
	for node, want := range map[string]string{"bigcouch@db1.example": "db1.example", "bigcouch@::1": "1", "bigcouch@": "node", "bigcouch@127.0.0.1": "127.0.0.1"} {
		if got := name(node, 1); got != fmt.Sprintf("couch-%s-20260101T020304.000Z.backup", want) {
			t.Errorf("%s: %s", node, got)
		}
	}
}

// A process that was killed in the middle leaves a file, which the next backup
// of that node removes.
func TestPartial(t *testing.T) {
	dir := t.TempDir()
	mine, other := filepath.Join(dir, ".partial-"+name("a", 1)), filepath.Join(dir, ".partial-"+name("b", 1))
	for _, file := range []string{mine, other} {
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := backup.Dir(dir).Put(t.Context(), name("a", 2), strings.NewReader("whole")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mine); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the partial file of this node: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("the partial file of another node: %v", err)
	}
	if err := backup.Dir(dir).Put(t.Context(), name("a", 2), strings.NewReader("again")); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a backup: %v", err)
	}
}
