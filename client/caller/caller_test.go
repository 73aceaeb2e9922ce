package caller_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"leap.example/client/caller"
)

// TestOf: both ends are told who the other one is, and nobody of one that is closed.
func TestOf(t *testing.T) {
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "socket"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	here, err := net.DialUnix("unix", nil, ln.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	there, err := ln.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*net.UnixConn{here, there} {
		if uid, err := caller.Of(c); err != nil || uid != uint32(os.Geteuid()) {
			t.Errorf("user %d, %v", uid, err)
		}
	}
	there.Close()
	if uid, err := caller.Of(there); err == nil || uid != caller.Nobody {
		t.Errorf("of a closed one: user %d, %v", uid, err)
	}
}
