package soledad_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/u1db"
	"leap.example/services/soledad"
	"leap.example/services/soledad/storetest"
)

const notifyPath = "/user-" + alice + "/notify"

// later waits for what a request answers.
func (s *site) later(path string) <-chan answer {
	ch := make(chan answer, 1)
	go func() {
		a, err := s.try(s.http, "GET", path, nil)
		if err != nil {
			s.t.Errorf("GET %s: %v", path, err)
		}
		ch <- a
	}()
	return ch
}

func TestNotify(t *testing.T) {
	s := start(t, nil)
	notice := func(incoming int) string {
		_, gen, trans := s.state()
		b, err := json.Marshal(u1db.Notice{Generation: gen, TransactionID: trans, Incoming: incoming})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	s.want("nothing new", s.do("GET", notifyPath+"?generation=0&wait=0", nil), 204, "")
	// A change wakes all who wait for it.
	var waiting []<-chan answer
	for range 3 {
		waiting = append(waiting, s.later(notifyPath+"?generation=0&incoming=0&wait=60"))
	}
	s.replicaPush(t, "D-1")
	for _, w := range waiting {
		s.want("a document", <-w, 200, notice(0))
	}
	s.want("already past", s.do("GET", notifyPath+"?generation=0&wait=60", nil), 200, notice(0))
	s.want("the queue already differs", s.do("GET", notifyPath+"?generation=1&incoming=7&wait=60", nil), 200, notice(0))
	s.want("the queue is not asked about", s.do("GET", notifyPath+"?generation=1&wait=0", nil), 204, "")
	// So does a message.
	w := s.later(notifyPath + "?generation=1&incoming=0&wait=60")
	if err := s.mem.Open(alice).AddIncoming(t.Context(), record.Incoming{ID: "m1", Body: []byte("sealed")}); err != nil {
		t.Fatal(err)
	}
	s.want("a message", <-w, 200, notice(1))
	for _, query := range []string{"generation=x", "generation=-1", "wait=x", "incoming=x"} {
		s.want(query, s.do("GET", notifyPath+"?"+query, nil), 400, `{"error":"bad request"}`)
	}
	bobAuth := header("Authorization: " + authorization(bob, "bob-token"))
	s.want("no database", s.do("GET", "/user-"+bob+"/notify", nil, bobAuth), 404, `{"error":"database does not exist"}`)
}

// replicaPush pushes one document as a fresh device.
func (s *site) replicaPush(t *testing.T, id string) {
	t.Helper()
	d := s.replica(device, false, s.http)
	d.put(id, `{}`)
	if err := d.sync(); err != nil {
		t.Fatal(err)
	}
}

// TestNotifyOutlivesPatience: a device that waits is not a slow one.
func TestNotifyOutlivesPatience(t *testing.T) {
	s := start(t, nil)
	s.srv.SetPatience(200 * time.Millisecond)
	var wg sync.WaitGroup
	for name, c := range map[string]*http.Client{"HTTP/1.1": s.plain, "HTTP/2": s.http} {
		wg.Go(func() {
			begin := time.Now()
			a, err := s.try(c, "GET", notifyPath+"?wait=1", nil)
			if err != nil || a.status != 204 || time.Since(begin) < 900*time.Millisecond {
				t.Errorf("%s: %+v, %v after %v", name, a, err, time.Since(begin))
			}
		})
	}
	wg.Wait()
}

// TestWaiters: how many wait is bounded, in all and per user.
func TestWaiters(t *testing.T) {
	s := start(t, func(c *soledad.Config, _ *soledad.Stores) { c.Waiters = 2 })
	w1, w2 := s.later(notifyPath+"?wait=60"), s.later(notifyPath+"?wait=60")
	eventually(t, "two who wait", func() bool {
		a := s.do("GET", notifyPath+"?wait=0", nil)
		return a.status == 503
	})
	a := s.do("GET", notifyPath+"?wait=60", nil)
	s.want("a third", a, 503, `{"error":"unavailable"}`)
	s.replicaPush(t, "D-1")
	if a := <-w1; a.status != 200 {
		t.Errorf("the first: %+v", a)
	}
	if a := <-w2; a.status != 200 {
		t.Errorf("the second: %+v", a)
	}
	eventually(t, "room again", func() bool { return s.do("GET", notifyPath+"?generation=1&wait=0", nil).status == 204 })
}

// TestStop: a server that stops lets go of those who wait.
func TestStop(t *testing.T) {
	mem := new(storetest.Memory)
	if err := mem.Create(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	mem.Login("alice-token", alice)
	cfg := soledad.Config{Listen: "127.0.0.1:0"}
	cfg.CertFile, cfg.KeyFile = writeCert(t)
	srv, err := soledad.New(cfg, soledad.Stores{Tokens: mem, Shared: mem, Open: func(u string) soledad.UserDB { return mem.Open(u) }}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client := start(t, nil) // For its HTTP client.
	client.url = "https://" + ln.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if a, err := client.try(client.http, "GET", notifyPath+"?wait=60", nil); err != nil || a.status != 204 {
			t.Errorf("who waited got %+v, %v", a, err)
		}
	})
	time.Sleep(100 * time.Millisecond) // Let it wait; if it does not yet, it finds a server that is gone.
	begin := time.Now()
	cancel()
	if err := <-done; err != nil || time.Since(begin) > 4*time.Second {
		t.Errorf("Serve: %v after %v", err, time.Since(begin))
	}
}

func TestIncoming(t *testing.T) {
	s := start(t, nil)
	db := s.mem.Open(alice)
	for i := range 3 {
		in := record.Incoming{ID: fmt.Sprint("m", i), Received: time.Date(2026, 11, 24, 7, 59, 59, 0, time.UTC), Body: []byte{0, 1, byte(i)}}
		if err := db.AddIncoming(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	queue := "/user-" + alice + "/incoming"
	entry := func(i int) string {
		return fmt.Sprintf(`{"id":"m%d","size":3,"received_bucket":"2026-11-24T07:00:00Z"}`, i)
	}
	s.want("list", s.do("GET", queue, nil), 200, "["+entry(0)+","+entry(1)+","+entry(2)+"]")
	s.want("a part", s.do("GET", queue+"?limit=2", nil), 200, "["+entry(0)+","+entry(1)+"]")
	s.want("bad limit", s.do("GET", queue+"?limit=x", nil), 400, `{"error":"bad request"}`)
	a := s.do("GET", queue+"/m1", nil)
	s.want("octets", a, 200, "\x00\x01\x01")
	if got := a.header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("octets are %q", got)
	}
	s.want("delete", s.do("DELETE", queue+"/m1", nil), 200, "{}")
	for what, a := range map[string]answer{"deleted again": s.do("DELETE", queue+"/m1", nil), "deleted": s.do("GET", queue+"/m1", nil)} {
		if a.status != 404 || problem.KindOf(u1db.ErrorOf(a.status, []byte(a.body))) != problem.NotExist {
			t.Errorf("%s: %+v", what, a)
		}
	}
	s.want("the rest", s.do("GET", queue, nil), 200, "["+entry(0)+","+entry(2)+"]")
}
