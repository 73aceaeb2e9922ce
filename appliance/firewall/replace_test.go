package firewall_test

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

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
	shut, err := net.ListenPacket("udp", "192.0.2.5:5984")
	if err != nil {
		t.Fatal(err)
	}
	defer shut.Close()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	sent := make(chan int, 1)
	go public.Do(t, func() error {
		n := 0
		defer func() { sent <- n }()
		c, err := net.Dial("udp", shut.LocalAddr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		for ; ctx.Err() == nil; n++ {
			_, _ = c.Write([]byte("x"))
		}
		return nil
	})
	defer func() { stop(); t.Logf("%d packets were sent", <-sent) }()
	nettest.Until(t, "packets come in without a firewall", func() bool { return came(t, shut) > 0 })
	apply(t, waiting())
	came(t, shut) // What is left from before.
	for i := range 100 {
		apply(t, []node.Document{web(), waiting()}[i%2])
	}
	if n := came(t, shut); n > 0 {
		t.Errorf("%d packets came in, or more: that is what the socket holds", n)
	}
}

// came takes what a socket holds, at most a thousand packets.
func came(t *testing.T, c net.PacketConn) (n int) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(wait))
	for buf := make([]byte, 1); n < 1000; n++ {
		if _, _, err := c.ReadFrom(buf); os.IsTimeout(err) {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return n
}
