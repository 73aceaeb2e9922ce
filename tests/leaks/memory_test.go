package leaks_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/netcfg/nettest"
)

// load is what goes through the tunnel each way, bytes.
const load = 64 << 20

// TestMemory measures what the helper holds while it is the tunnel too. It
// records; the promise is 20 MB of anonymous memory.
func TestMemory(t *testing.T) {
	nettest.Need(t)
	w := newWorld(t, false)
	w.startHelper()
	start := w.anonymous()
	w.connect(w.policy(w.gateways[0]))
	idle := w.anonymous()
	var ln net.Listener
	w.server.Do(t, func() (err error) {
		ln, err = net.Listen("tcp", "[::]:4445")
		return err
	})
	defer ln.Close()
	echoed := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			defer c.Close()
			_, err = io.Copy(c, io.LimitReader(c, load))
		}
		echoed <- err
	}()
	var c net.Conn
	w.client.Do(t, func() (err error) {
		c, err = net.DialTimeout("tcp", server4+":4445", 5*time.Second)
		return err
	})
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	begun := time.Now()
	sent := make(chan error, 1)
	go func() {
		buf := make([]byte, 256<<10)
		for n := 0; n < load; n += len(buf) {
			if _, err := c.Write(buf); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	var most int
	buf := make([]byte, 1<<20)
	for n := 0; n < load; {
		k, err := io.ReadFull(c, buf)
		w.must(err)
		n += k
		most = max(most, w.anonymous())
	}
	w.must(<-sent)
	w.must(<-echoed)
	rate := 2 * 8 * load / time.Since(begun).Seconds() / 1e6
	fmt.Fprintf(os.Stdout, "helper: anonymous memory %.1f MB at the start, %.1f MB with a tunnel, at most %.1f MB at %.0f Mbit/s both ways together\n",
		float64(start)/1e6, float64(idle)/1e6, float64(most)/1e6, rate)
}

// anonymous is the helper's memory that no file stands behind, bytes.
func (w *world) anonymous() int {
	w.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(w.helper.Process.Pid) + "/status")
	w.must(err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			w.must(err)
			return kb << 10
		}
	}
	w.Fatal("the kernel does not say what is anonymous")
	return 0
}
