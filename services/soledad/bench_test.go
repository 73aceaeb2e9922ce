package soledad_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"leap.example/services/protocol/u1db"
)

// documents makes n sealed documents of 2 KiB, which are 2.7 KB of base64.
func documents(n int) []u1db.Document {
	b := make([]byte, 2048)
	docs := make([]u1db.Document, n)
	for i := range docs {
		rand.Read(b)
		docs[i] = u1db.Document{ID: fmt.Sprintf("D-%032x", i), Rev: device + ":1", Content: `{"ld1":"` + base64.RawURLEncoding.EncodeToString(b) + `"}`, Gen: i + 1, TransID: fmt.Sprintf("T-%032x", i)}
	}
	return docs
}

// BenchmarkPush pushes 2,000 documents per operation over TLS on loopback.
func BenchmarkPush(b *testing.B) {
	docs := documents(2000)
	var body bytes.Buffer
	w, err := u1db.NewPutWriter(&body, u1db.SyncHeader{SyncID: "5"}, len(docs))
	for i := 0; err == nil && i < len(docs); i++ {
		err = w.Write(docs[i])
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	s := start(b, nil)
	b.SetBytes(int64(body.Len()))
	n := 0
	for b.Loop() {
		n++
		user := fmt.Sprint("user", n)
		if err := s.mem.Create(b.Context(), user); err != nil {
			b.Fatal(err)
		}
		s.mem.Login("t"+user, user)
		a := s.do("POST", "/user-"+user+"/sync-from/"+device, bytes.NewReader(body.Bytes()), putType, header("Authorization: "+authorization(user, "t"+user)))
		if a.status != 200 {
			b.Fatalf("%+v", a)
		}
	}
	b.ReportMetric(float64(n*len(docs))/b.Elapsed().Seconds(), "docs/s")
}

// BenchmarkPull pulls 2,000 documents per operation over TLS on loopback.
func BenchmarkPull(b *testing.B) {
	s := start(b, nil)
	docs := documents(2000)
	if _, err := s.mem.Open(alice).Append(b.Context(), docs, make([]string, len(docs))); err != nil {
		b.Fatal(err)
	}
	for _, encoding := range []string{"identity", "gzip"} {
		b.Run(encoding, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n++
				a := s.do("POST", path, "[\r\n"+syncHead(0, "", "6", false)+"\r\n]", getType, header("Accept-Encoding: "+encoding))
				if a.status != 200 {
					b.Fatalf("%d", a.status)
				}
				b.SetBytes(int64(len(a.body)))
			}
			b.ReportMetric(float64(n*len(docs))/b.Elapsed().Seconds(), "docs/s")
		})
	}
}

// FuzzSync: whatever is sent as a sync, the log and the documents agree, and
// the source's position is that of a document that is stored.
func FuzzSync(f *testing.F) {
	f.Add(u1db.SyncPut, rest(0, 3))
	f.Add(u1db.SyncPut, strings.Replace(rest(0, 3), "D-2", "D-1", 1))
	f.Add(u1db.SyncGet, "[\r\n"+syncHead(0, "", "5", true)+"\r\n]")
	f.Add(u1db.PlainStream, "[\r\n"+syncHead(0, "", "5", false)+",\r\n"+`{"id":"D-a","rev":"a:1","content":"{}","gen":1,"trans_id":"T-1"}`+"\r\n]")
	f.Add("text/plain", "")
	s := start(f, nil)
	users := 0
	h := s.srv.Handler(f.Context())
	f.Fuzz(func(t *testing.T, kind, body string) {
		users++
		user := fmt.Sprint("user", users)
		if err := s.mem.Create(t.Context(), user); err != nil {
			t.Fatal(err)
		}
		s.mem.Login("t"+user, user)
		r := httptest.NewRequest("POST", "/user-"+user+"/sync-from/"+device, io.MultiReader(strings.NewReader(body)))
		r.Header.Set("Authorization", authorization(user, "t"+user))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		db := s.mem.Open(user)
		_, gen, _, err := db.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		changes, err := db.Changes(t.Context(), 0, gen+1)
		if err != nil {
			t.Fatal(err)
		}
		if gen > 0 && (len(changes) == 0 || changes[len(changes)-1].Gen != gen) {
			t.Errorf("the database is at %d, its log is %v", gen, changes)
		}
		if at, _, err := db.SyncState(t.Context(), device); err != nil || (at > 0) != (gen > 0) {
			t.Errorf("the source is known to %d, the database is at %d; %v", at, gen, err)
		}
		if w.Code == 500 {
			t.Errorf("%s", w.Body)
		}
	})
}
