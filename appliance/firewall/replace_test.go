package firewall_test

import (
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/appliance/firewall"
	"leap.example/appliance/netcfg/nettest"
	"leap.example/appliance/node"
)

// TestReplaced: while one table takes the place of another, nothing comes in that
// neither lets in. Linux sets the policy of a new chain after the old chain is gone.
func TestReplaced(t *testing.T) {
	public := nettest.NewPeer(t)
	public.Veth(t, "eth0", "far", "192.0.2.1/24")
	plug(t, "eth0", "192.0.2.5/24")
	flush(t)
	t.Cleanup(func() { flush(t) })
	apply(t, waiting())
	closed, err := net.ListenPacket("udp", "192.0.2.5:5984")
	if err != nil {
		t.Fatal(err)
	}
	defer closed.Close()
	var sent atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		public.Do(t, func() error {
			c, err := net.Dial("udp", closed.LocalAddr().String())
			if err != nil {
				return err
			}
			defer c.Close()
			for {
				select {
				case <-stop:
					return nil
				default:
					_, _ = c.Write([]byte("x"))
					sent.Add(1)
				}
			}
		})
	}()
	nettest.Until(t, "packets are sent", func() bool { return sent.Load() > 0 })
	for i := range 100 {
		d := []node.Document{web(), waiting()}[i%2]
		if changed, err := firewall.Apply(t.Context(), d); err != nil || !changed {
			t.Fatalf("applying: changed %v, %v", changed, err)
		}
	}
	close(stop)
	<-done
	_ = closed.SetReadDeadline(time.Now().Add(wait))
	in := 0
	for buf := make([]byte, 1); ; in++ {
		if _, _, err := closed.ReadFrom(buf); err != nil {
			if !os.IsTimeout(err) {
				t.Error(err)
			}
			break
		}
	}
	if in > 0 {
		t.Errorf("%d (or more: that is a queue) of %d packets came in", in, sent.Load())
	}
}
