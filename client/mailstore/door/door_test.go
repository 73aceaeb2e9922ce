package door_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/client/mailstore/door"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestKey(t *testing.T) {
	k := door.Key{Address: "a@leap.example", Password: "right", Delay: 20 * time.Millisecond}
	for _, tt := range []struct {
		user, password string
		want           bool
	}{
		{"a@leap.example", "right", true},
		{"A@Leap.Example", "right", true},
		{"a@leap.example", "wrong", false},
		{"b@leap.example", "right", false},
		{"", "", false},
	} {
		start := time.Now()
		if got := k.Opens(nil, tt.user, tt.password); got != tt.want {
			t.Errorf("%s %s: %v", tt.user, tt.password, got)
		}
		if took := time.Since(start); !tt.want && took < k.Delay {
			t.Errorf("refused after %v", took)
		}
	}
	if (door.Key{Address: "a@leap.example", Delay: 1}).Opens(nil, "a@leap.example", "") {
		t.Error("an empty password opens")
	}
	done := make(chan struct{})
	close(done)
	k.Delay = time.Hour
	if k.Opens(done, "x", "y") {
		t.Error("opened")
	}
}

func TestListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := door.Wrap(ln, 1)
	accepted, failed := make(chan net.Conn, 3), make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				failed <- err
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		return c
	}
	one := dial()
	defer one.Close()
	in := <-accepted
	two := dial()
	defer two.Close()
	if _, err := two.Read(make([]byte, 1)); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("a second connection: %v", err)
	}
	in.Close()
	three := dial()
	defer three.Close()
	in = <-accepted
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := three.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection after Close: %v", err)
	}
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	in.Close()
	l.Wait()
}
