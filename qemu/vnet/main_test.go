package vnet_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/qemu/vnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newLAN returns a LAN that ends with the test.
func newLAN(t testing.TB, c vnet.Config) *vnet.LAN {
	t.Helper()
	l, err := vnet.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// until polls f until it is true.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) { // Between polls only.
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
