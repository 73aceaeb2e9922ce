package soledad_test

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
	"leap.example/services/soledad"
)

// TestModel: whatever three devices do and in whichever order they sync, they
// end with the same documents, and nothing that one wrote last is lost.
func TestModel(t *testing.T) {
	s := start(t, nil)
	users := 0
	rapid.Check(t, func(rt *rapid.T) {
		users++
		user := fmt.Sprint("user", users)
		if err := s.mem.Create(t.Context(), user); err != nil {
			rt.Fatal(err)
		}
		s.mem.Login(user+"-token", user)
		devices := []*replica{
			s.replica(strings.Repeat("a", 32), false, s.http),
			s.replica(strings.Repeat("b", 32), true, s.plain),
			s.replica(strings.Repeat("c", 32), false, s.plain),
		}
		for _, d := range devices {
			d.user = user
		}
		s.srv.SetMaxChanges(rapid.IntRange(1, 4).Draw(rt, "changes in one answer"))
		for i := range rapid.IntRange(1, 25).Draw(rt, "steps") {
			d := rapid.SampledFrom(devices).Draw(rt, "device")
			if rapid.Bool().Draw(rt, "sync") {
				if err := d.sync(); err != nil {
					rt.Fatalf("sync of %s: %v", d.uid[:1], err)
				}
				continue
			}
			content := ""
			if rapid.IntRange(0, 4).Draw(rt, "write or delete") > 0 {
				content = `{"n":` + strconv.Itoa(i) + `}`
			}
			d.put(rapid.SampledFrom([]string{"D-1", "D-2", "D-3"}).Draw(rt, "document"), content)
		}
		// A part of the changes at a time, and merges of merges, until a round
		// changes nothing.
		for round, before := 0, ""; ; round++ {
			var after strings.Builder
			for _, d := range devices {
				if err := d.sync(); err != nil {
					rt.Fatalf("last syncs: %v", err)
				}
				fmt.Fprint(&after, d.gen, d.server, d.sent)
			}
			if after.String() == before {
				break
			}
			if before = after.String(); round > 100 {
				rt.Fatal("they never agree")
			}
		}
		for _, d := range devices[1:] {
			for id, want := range devices[0].docs {
				if got := d.docs[id]; got.Rev != want.Rev || got.Content != want.Content {
					rt.Errorf("%s of %s is %s %s; of %s %s %s", id, d.uid[:1], got.Rev, got.Content, devices[0].uid[:1], want.Rev, want.Content)
				}
			}
			if len(d.docs) != len(devices[0].docs) {
				rt.Errorf("%s has %d documents, %s %d", d.uid[:1], len(d.docs), devices[0].uid[:1], len(devices[0].docs))
			}
		}
	})
}

// TestTwoDevices: two devices that push the same documents at the same moment:
// of each one version wins, the other device gets it, and merges.
func TestTwoDevices(t *testing.T) {
	s := start(t, nil)
	a, b := s.replica(strings.Repeat("a", 32), false, s.http), s.replica(strings.Repeat("b", 32), true, s.plain)
	const n = 300
	for i := range n {
		a.put(fmt.Sprint("D-", i), `{"by":"a"}`)
		b.put(fmt.Sprint("D-", i), `{"by":"b"}`)
	}
	var wg sync.WaitGroup
	for _, d := range []*replica{a, b} {
		wg.Go(func() {
			if err := d.sync(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, gen, _ := s.state(); gen != n {
		t.Errorf("%d changes are stored of %d documents", gen, n)
	}
	for range 3 {
		for _, d := range []*replica{a, b} {
			if err := d.sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for id, d := range a.docs {
		if d.Content != `{"by":"b"}` || b.docs[id].Rev != d.Rev {
			t.Fatalf("%s is %+v and %+v", id, d, b.docs[id])
		}
	}
}

// rival is a database into which another process writes at the worst moment.
type rival struct {
	soledad.UserDB

	write func() // Before an Append.
}

func (r *rival) Append(ctx context.Context, docs []u1db.Document, prev []string) ([]u1db.Change, error) {
	r.write()
	return r.UserDB.Append(ctx, docs, prev)
}

// TestStale: a write between judging and storing is noticed, and judged again.
func TestStale(t *testing.T) {
	var s *site
	times := 0
	s = start(t, func(_ *soledad.Config, st *soledad.Stores) {
		open := st.Open
		st.Open = func(user string) soledad.UserDB {
			return &rival{open(user), func() {
				if times++; times <= 3 {
					s.seed(u1db.Document{ID: "D-1", Rev: fmt.Sprint("other:", times), Content: `{"other":true}`})
				}
			}}
		}
	})
	d := s.replica(device, false, s.http)
	d.put("D-1", `{"mine":true}`)
	d.put("D-2", `{"mine":true}`)
	if err := d.sync(); err != nil {
		t.Fatal(err)
	}
	stored, err := s.mem.Open(alice).Get(t.Context(), "D-1")
	if err != nil || stored.Rev != "other:3" && stored.Rev != "other:2" {
		t.Errorf("the other process's version became %+v, %v", stored, err)
	}
	if d.docs["D-1"].Content != `{"other":true}` || d.docs["D-2"].Content != `{"mine":true}` {
		t.Errorf("the device has %+v", d.docs)
	}
	times = -1 << 30 // From now on every attempt is beaten.
	s.srv.SetPatience(soon)
	beaten := start(t, func(_ *soledad.Config, st *soledad.Stores) {
		open := st.Open
		st.Open = func(user string) soledad.UserDB { return stale{open(user)} }
	})
	e := beaten.replica(device, false, beaten.http)
	e.put("D-1", `{}`)
	if err := e.sync(); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("a database that is always ahead: %v", err)
	}
}

// TestSlowDatabase: one that answers late that it is not available is no reason to
// end the stream of a client that waits, whichever protocol it speaks.
func TestSlowDatabase(t *testing.T) {
	s := start(t, func(_ *soledad.Config, st *soledad.Stores) {
		open := st.Open
		st.Open = func(user string) soledad.UserDB { return late{open(user)} }
	})
	s.srv.SetPatience(50 * time.Millisecond)
	body, _ := push(3, 1)
	for name, client := range map[string]*http.Client{"HTTP/2": s.http, "HTTP/1.1": s.plain} {
		a, err := s.try(client, "POST", path, strings.NewReader(body), putType)
		if err != nil || a.status != http.StatusServiceUnavailable {
			t.Errorf("over %s: %+v, %v", name, a, err)
		}
	}
}

// late is a database that answers late.
type late struct{ soledad.UserDB }

func (late) Append(context.Context, []u1db.Document, []string) ([]u1db.Change, error) {
	<-time.After(250 * time.Millisecond)
	return nil, problem.Unavailable.Errorf("no leader")
}

// stale is a database that is always ahead.
type stale struct{ soledad.UserDB }

func (stale) Append(context.Context, []u1db.Document, []string) ([]u1db.Change, error) {
	return nil, problem.Stale.Errorf("changed meanwhile")
}

// TestMerged: incomparable versions with equal content get a clock over both,
// and the source gets it.
func TestMerged(t *testing.T) {
	s := start(t, nil)
	s.seed(u1db.Document{ID: "D-1", Rev: "other:1", Content: `{"same":1}`})
	own, _, _ := s.state()
	d := s.replica(device, true, s.http)
	d.put("D-1", `{"same":1}`)
	if err := d.sync(); err != nil {
		t.Fatal(err)
	}
	clock, err := u1db.ParseRevision(d.docs["D-1"].Rev)
	if err != nil || clock.Get("other") != 1 || clock.Get(device) != 1 || clock.Get(own) != 1 {
		t.Errorf("merged as %+v, %v", d.docs["D-1"], err)
	}
}

// TestCompression: an answer is compressed for who takes that, over HTTP/1.1,
// and a quarter smaller.
func TestCompression(t *testing.T) {
	s := start(t, nil)
	b := make([]byte, 30_000)
	rand.Read(b)
	content := fmt.Sprintf(`{"ld1":"%x"}`, b)
	s.seed(u1db.Document{ID: "D-1", Rev: "o:1", Content: content})
	get := "[\r\n" + syncHead(0, "", "5", false) + "\r\n]"
	plain := s.do("POST", path, get, getType)
	packed := s.do("POST", path, get, getType, "Accept-Encoding: gzip")
	if packed.header.Get("Content-Encoding") != "gzip" || packed.header.Get("Vary") != "Accept-Encoding" || len(packed.body) > len(plain.body)*3/4 {
		t.Errorf("%d bytes compressed %q, %d bytes plain", len(packed.body), packed.header.Get("Content-Encoding"), len(plain.body))
	}
	gz, err := gzip.NewReader(strings.NewReader(packed.body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(gz)
	if err != nil || string(text) != plain.body {
		t.Errorf("it unpacks to %d bytes, %v", len(text), err)
	}
	a, err := s.try(s.plain, "POST", path, get, getType) // Unpacks by itself.
	if err != nil || a.body != plain.body {
		t.Errorf("over HTTP/1.1: %d bytes, %v", len(a.body), err)
	}
}

// lossy is a database whose log has changes without their document.
type lossy struct {
	soledad.UserDB

	lost func(id string) bool
}

func (l lossy) GetMany(ctx context.Context, ids []string) ([]u1db.Document, error) {
	return l.UserDB.GetMany(ctx, slices.DeleteFunc(slices.Clone(ids), l.lost))
}

// TestLost: a change without a document does not stop a sync.
func TestLost(t *testing.T) {
	for name, lost := range map[string]func(string) bool{
		"all":       func(string) bool { return true },
		"the first": func(id string) bool { return id < "D-050" },
		"the last":  func(id string) bool { return id >= "D-050" },
		"some":      func(id string) bool { return id[4]%2 == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(_ *soledad.Config, st *soledad.Stores) {
				open := st.Open
				st.Open = func(user string) soledad.UserDB { return lossy{open(user), lost} }
			})
			want := 0
			for i := range 100 {
				id := fmt.Sprintf("D-%03d", i)
				s.seed(u1db.Document{ID: id, Rev: "o:1", Content: `{}`})
				if !lost(id) {
					want++
				}
			}
			for _, plain := range []bool{false, true} {
				d := s.replica(device, plain, s.http)
				if err := d.sync(); err != nil || len(d.docs) != want || d.server.NewGeneration != 100 {
					t.Errorf("plain %t: %d documents of %d up to %d, %v", plain, len(d.docs), want, d.server.NewGeneration, err)
				}
			}
		})
	}
}
