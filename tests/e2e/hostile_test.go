package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leap.example/tests/e2e/process"
)

// maxMemory is what a provider may take while it is attacked. All of its
// services are in one process; each bounds what it takes for requests.
const maxMemory = 700 << 20

// An attack is something that an honest client does not do. It returns an
// error if the provider lets itself be harmed.
type attack struct {
	name string
	on   func(*door) bool
	run  func(ctx context.Context, d *door) error
}

func overTCP(d *door) bool { return !d.udp }
func overUDP(d *door) bool { return d.udp }
func dnsTCP(d *door) bool  { return !d.udp && !d.http && !d.smtp }
func overTLS(d *door) bool { return d.tls != nil }
func isHTTP(d *door) bool  { return d.http }
func isH2(d *door) bool    { return d.http && d.tls != nil }
func isSMTP(d *door) bool  { return d.smtp }

// named is a door with one of these names.
func named(names ...string) func(*door) bool {
	return func(d *door) bool {
		return slices.Contains(names, d.name)
	}
}

// TestHostile does to every listener of a provider what honest clients do not
// do, all at once, while honest clients come. They are served all the time;
// afterwards every service is healthy, none was restarted, and the memory was
// bounded.
func TestHostile(t *testing.T) {
	p := leapd.New(t)
	db := openCouch(t, p.At.Couch, "admin", p.At.CouchPasswordFile, quiet)
	defer db.Close()
	raw := process.OpenDatabase(t, p.At.Couch, p.At.CouchPasswordFile)
	if status, err := raw.Do(t.Context(), "PUT", "/load", nil, nil); err != nil || status != 201 {
		t.Fatalf("creating a database: %d, %v", status, err)
	}
	user := newMailbox(t, db, "target@"+p.At.Domain, signerFile(p))
	var letters post
	list := doors(t, p, &letters, user)
	password, err := os.ReadFile(p.At.CouchPasswordFile)
	if err != nil {
		t.Fatal(err)
	}
	secrets := secrets{couch: strings.TrimSpace(string(password)), user: user}
	before, _, err := p.Memory()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	var honest sync.WaitGroup
	slowest := make([]time.Duration, len(list))
	for i, d := range list {
		honest.Go(func() { slowest[i] = visitAll(ctx, t, d) })
	}
	count := siege(ctx, t, list, secrets)
	cancel()
	honest.Wait()

	for i, d := range list {
		if err := d.honest(t.Context()); err != nil {
			t.Errorf("%s: an honest request afterwards: %v", d.name, err)
		}
		t.Logf("%-12s slowest honest answer %v", d.name, slowest[i].Round(time.Millisecond))
	}
	status, err := p.Status(t.Context())
	if err != nil {
		t.Error(err)
	}
	for name, s := range status {
		if s.Restarts > 0 {
			t.Errorf("%s was restarted %d times: %s", name, s.Restarts, s.Error)
		}
	}
	if log := p.Log(t); strings.Contains(log, "panic") || t.Failed() {
		t.Errorf("there must be no panic in the log:\n%s", log)
	}
	letters.audit(t, "afterwards", user.copies(t, raw, db.UserDBs().Open(user.id)), true)
	now, peak, err := p.Memory()
	if err != nil || peak > maxMemory {
		t.Errorf("the provider took %d MiB, %v; at most %d are allowed", peak>>20, err, maxMemory>>20)
	}
	t.Logf("%d attacks in %.1f s; memory %d MiB before, %d MiB at most, %d MiB afterwards; %d honest mails",
		count, time.Since(start).Seconds(), before>>20, peak>>20, now>>20, letters.count(acked))
}

// visitAll makes honest requests until ctx ends, and returns how long the
// slowest took.
func visitAll(ctx context.Context, t *testing.T, d *door) (slowest time.Duration) {
	for ; ctx.Err() == nil; pause(ctx, 300*time.Millisecond) {
		start := time.Now()
		one, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := d.honest(one)
		cancel()
		if err != nil && ctx.Err() == nil {
			t.Errorf("%s: an honest request during the attack: %v", d.name, err)
		}
		slowest = max(slowest, time.Since(start))
	}
	return slowest
}

// siege runs all attacks: those on one door one after the other, those that
// wait beside them.
func siege(ctx context.Context, t *testing.T, list []*door, s secrets) (count int) {
	var wg sync.WaitGroup
	var mu sync.Mutex // Guards count.
	run := func(a attack, d *door) {
		err := a.run(ctx, d)
		if err != nil && ctx.Err() == nil {
			t.Errorf("%s: %s: %v", d.name, a.name, err)
		}
		mu.Lock()
		count++
		mu.Unlock()
	}
	attacks := append(append(append(plainAttacks(), webAttacks(s)...), mailAttacks(s)...), nameAttacks()...)
	for _, d := range list {
		for _, a := range heldAttacks() {
			if a.on(d) {
				wg.Go(func() { run(a, d) })
			}
		}
		wg.Go(func() {
			for _, a := range attacks {
				if a.on(d) {
					run(a, d)
				}
			}
		})
	}
	wg.Wait()
	return count
}

// exchange sends what r gives and returns the beginning of what came back
// until the other side closed the connection, or was silent for two seconds
// after everything was sent. sent is how much it took.
func exchange(c net.Conn, r io.Reader) (reply []byte, sent int64) {
	defer c.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		sent, _ = io.Copy(c, r) // Until it is cut off.
	}()
	var buf bytes.Buffer
	for silent := 0; silent < 10; {
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := io.CopyN(&buf, c, 4096)
		buf.Truncate(min(buf.Len(), 64<<10))
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			break // Closed.
		}
		select {
		case <-done:
			if silent++; n > 0 {
				silent = 0
			}
			if half, ok := c.(interface{ CloseWrite() error }); ok && silent == 1 {
				half.CloseWrite() // There is no more; an open end is for those who hold.
			}
		default: // It still takes.
		}
	}
	c.Close()
	<-done
	return buf.Bytes(), sent
}

// junk returns random octets.
func junk(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// endless repeats a piece up to so many octets.
func endless(piece string, total int) io.Reader {
	whole := strings.Repeat(piece, max(1, 64<<10/len(piece))) // Fast.
	return io.LimitReader(&loop{piece: []byte(whole)}, int64(total))
}

type loop struct {
	piece []byte
	at    int
}

func (l *loop) Read(b []byte) (n int, err error) {
	for n < len(b) {
		k := copy(b[n:], l.piece[l.at:])
		n, l.at = n+k, (l.at+k)%len(l.piece)
	}
	return n, nil
}

// plainAttacks know nothing of what is spoken at a door.
func plainAttacks() []attack {
	pour := func(what func() io.Reader, secured bool) func(context.Context, *door) error {
		return func(ctx context.Context, d *door) error {
			dial := d.dial
			if secured {
				dial = d.open
			}
			c, err := dial(ctx)
			if err != nil {
				return err
			}
			reply, _ := exchange(c, what())
			return refused(d, reply)
		}
	}
	return []attack{
		{"random octets", overTCP, pour(func() io.Reader { return bytes.NewReader(junk(64 << 10)) }, false)},
		{"random octets in TLS", overTLS, pour(func() io.Reader { return bytes.NewReader(junk(64 << 10)) }, true)},
		{"zeros", overTCP, pour(func() io.Reader { return endless("\x00", 1<<20) }, false)},
		{"one endless line", overTCP, pour(func() io.Reader { return endless("x", 16<<20) }, false)},
		{"one endless line in TLS", overTLS, pour(func() io.Reader { return endless("x", 16<<20) }, true)},
		{"plain HTTP on TLS", overTLS, pour(func() io.Reader { return strings.NewReader("GET / HTTP/1.1\r\nHost: x\r\n\r\n") }, false)},
		{"a TLS record of the wrong kind", overTLS, pour(func() io.Reader {
			return io.MultiReader(strings.NewReader("\x17\x03\x03\x40\x00"), bytes.NewReader(junk(0x4000)))
		}, false)},
		{"a ClientHello that never ends", overTLS, pour(func() io.Reader {
			return io.MultiReader(strings.NewReader("\x16\x03\x01\x40\x00\x01\xff\xff\xff"), endless("\x16\x03\x01\x40\x00"+strings.Repeat("x", 0x4000), 8<<20))
		}, false)},
	}
}

// refused returns an error if a reply grants something.
func refused(d *door, reply []byte) error {
	line, _, _ := strings.Cut(string(reply), "\r\n")
	if !d.http || len(line) < 12 || !strings.HasPrefix(line, "HTTP/1.") { // Nothing, or an alert of TLS.
		return nil
	}
	switch status := line[9:12]; {
	case status[0] == '4', status == "501", status == "505", d.classic && status == "500":
		return nil
	}
	return fmt.Errorf("was answered %q", line)
}
