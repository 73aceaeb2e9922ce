package soledad_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"leap.example/services/protocol/u1db"
	"leap.example/services/soledad"
)

// push returns the body of a push of n documents of the device, from its
// generation 1, and the part of it up to and including document k.
func push(n, k int) (whole, part string) {
	var b strings.Builder
	b.WriteString("[\r\n" + syncHead(0, "", "5", false))
	cut := 0
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, ",\r\n"+`{"id":"D-%d","rev":"%s:%d","content":null,"gen":%d,"trans_id":"T-%d","number_of_docs":%d,"doc_idx":%d}`+",\r\n"+`{"n":%d}`, i, device, i, i, i, n, i, i)
		if i == k {
			cut = b.Len()
		}
	}
	return b.String() + "\r\n]", b.String()[:cut] + ",\r\n"
}

// known fails unless the server knows the device up to a generation and has so
// many documents.
func (s *site) known(what string, gen int) {
	s.t.Helper()
	at, _, err := s.mem.Open(alice).SyncState(s.t.Context(), device)
	_, docs, _ := s.state()
	if at != gen || docs != gen || err != nil {
		s.t.Errorf("%s: the source is known to %d, the database is at %d; want %d; %v", what, at, docs, gen, err)
	}
}

// TestBrokenStream: what came before the break is stored, whole documents only,
// and a resumed push goes on from there.
func TestBrokenStream(t *testing.T) {
	whole, _ := push(5, 5)
	_, part := push(5, 3)
	swap := strings.NewReplacer(`"gen":4,`, `"gen":2,`)
	for _, tt := range []struct {
		name, body string
		stored     int
		words      string
	}{
		{"cut between documents", part, 3, "400 bad request"},
		{"cut in an entry", part + `{"id":"D-4","rev"`, 3, "400 bad request"},
		{"cut before the content", part + `{"id":"D-4","rev":"x:1","content":null,"gen":4,"trans_id":"T-4","number_of_docs":5,"doc_idx":4},` + "\r\n", 3, "400 bad request"},
		{"cut in the content", part + `{"id":"D-4","rev":"x:1","content":null,"gen":4,"trans_id":"T-4","number_of_docs":5,"doc_idx":4},` + "\r\n{\"n\":", 3, "400 bad request"},
		{"no closing bracket", strings.TrimSuffix(whole, "]"), 5, "400 bad request"},
		{"fewer than announced", strings.TrimSuffix(part, ",\r\n") + "\r\n]", 3, "400 bad request"},
		{"data after the end", whole + "\r\n{}", 5, "400 bad request"},
		{"generations out of order", swap.Replace(whole), 3, "400 bad request"},
		{"bad content", strings.Replace(whole, `{"n":3}`, `n3`, 1), 2, "400 bad request"},
		{"bad revision", strings.Replace(whole, device+":2", "b:1|a:1", 1), 1, "400 bad request"},
		{"bad document id", strings.Replace(whole, `"D-4"`, `"D/4"`, 1), 3, "400 invalid document id"},
		{"oversized entry", strings.Replace(whole, `{"n":5}`, `{"n":"`+strings.Repeat("x", 70_000)+`"}`, 1), 4, "403 document too big"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, func(c *soledad.Config, _ *soledad.Stores) { c.MaxEntry = 64 << 10 })
			a := s.do("POST", path, tt.body, putType)
			if got := fmt.Sprintf("%d %s", a.status, a.body); got != fmt.Sprintf(`%s {"error":"%s"}`, tt.words[:3], tt.words[4:]) {
				t.Errorf("got %s", got)
			}
			s.known("after the break", tt.stored)
			// The client asks where to go on, and does.
			a = s.do("POST", path, rest(tt.stored, 5), putType)
			if a.status != 200 {
				t.Errorf("resumed: %d %s", a.status, a.body)
			}
			s.known("resumed", 5)
		})
	}
}

// rest returns the body of a push of the documents after the first k of n.
func rest(k, n int) string {
	var b strings.Builder
	b.WriteString("[\r\n" + syncHead(0, "", "6", false))
	for i := k + 1; i <= n; i++ {
		fmt.Fprintf(&b, ",\r\n"+`{"id":"D-%d","rev":"%s:%d","gen":%d,"trans_id":"T-%d","number_of_docs":%d,"doc_idx":%d}`+",\r\n"+`{"n":%d}`, i, device, i, i, i, n-k, i-k, i)
	}
	return b.String() + "\r\n]"
}

// TestSourceOrder: 7.5, before the clocks.
func TestSourceOrder(t *testing.T) {
	s := start(t, nil)
	if a := s.do("POST", path, rest(0, 3), putType); a.status != 200 {
		t.Fatalf("first push: %+v", a)
	}
	s.want("lower", s.do("POST", path, rest(1, 2), putType), 409, `{"error":"invalid generation"}`)
	if a := s.do("POST", path, rest(2, 3), putType); a.status != 200 {
		t.Errorf("the same again: %+v", a)
	}
	s.want("another history", s.do("POST", path, strings.Replace(rest(2, 3), "T-3", "T-x", 1), putType), 409, `{"error":"invalid transaction id"}`)
	s.known("after that", 3)
	for body, words := range map[string]string{
		`{"generation": 2, "transaction_id": "T-2"}`: "invalid generation",
		`{"generation": 3, "transaction_id": "T-x"}`: "invalid transaction id",
	} {
		s.want(body, s.do("PUT", path, body), 409, `{"error":"`+words+`"}`)
	}
	for _, body := range []string{"", "[]", `{"generation": -1}`, `{"generation": 4}`, `{"generation": 4, "transaction_id": "T 4"}`} {
		s.want(body, s.do("PUT", path, body), 400, `{"error":"bad request"}`)
	}
}

// TestTotal: a request that is longer than allowed ends, and what fits is kept.
func TestTotal(t *testing.T) {
	s := start(t, func(c *soledad.Config, _ *soledad.Stores) { c.MaxSync = 1000 })
	body, _ := push(20, 1)
	s.want("too long", s.do("POST", path, body, putType), 403, `{"error":"document too big"}`)
	if _, gen, _ := s.state(); gen < 1 || gen > 8 {
		t.Errorf("%d documents of 1000 bytes are stored", gen)
	}
}

// TestSlowClient: a client that stops in the middle is let go after a while,
// what it sent is kept, and the user's other devices are not held up.
func TestSlowClient(t *testing.T) {
	s := start(t, nil)
	s.srv.SetPatience(300 * time.Millisecond)
	_, part := push(5, 3)
	conn, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(soon))
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n",
		path, authorization(alice, "alice-token"), u1db.SyncPut, len(part), part)
	other := "/user-" + alice + "/sync-from/42424242424242424242424242424242"
	if a := s.do("POST", other, "[\r\n"+syncHead(0, "", "7", false)+"\r\n]", getType); a.status != 200 {
		t.Errorf("another device: %+v", a)
	}
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection was not closed: %v", err)
	}
	eventually(t, "three documents", func() bool { _, gen, _ := s.state(); return gen == 3 })
	s.known("slow client", 3)
}

// TestVanishedClient: the same, of one that is gone.
func TestVanishedClient(t *testing.T) {
	s := start(t, nil)
	_, part := push(5, 2)
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, part)
		w.CloseWithError(io.ErrClosedPipe)
	}()
	if a, err := s.try(s.plain, "POST", path, r, putType); err == nil && a.status == 200 {
		t.Errorf("half a push got %+v", a)
	}
	eventually(t, "two documents", func() bool { _, gen, _ := s.state(); return gen == 2 })
	if strings.Contains(s.log.String(), "request failed") {
		t.Errorf("a client that broke off is in the log: %s", s.log)
	}
}
