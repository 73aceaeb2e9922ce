package leaks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/client/vpn/helper"
	"leap.example/client/vpn/policy"
)

// said reports whether the process has printed the word.
func (p *process) said(word string) bool {
	text, err := os.ReadFile(p.log)
	return err == nil && strings.Contains(string(text), word)
}

// daemonRole is the user's daemon: it asks the helper and waits.
func daemonRole() error {
	var p policy.Policy
	if err := json.Unmarshal([]byte(os.Getenv("LEAKS_ABOUT")), &p); err != nil {
		return err
	}
	if err := helper.NewClient(socket).Apply(context.Background(), p); err != nil {
		return err
	}
	fmt.Println("applied")
	select {}
}

// resolveRole finds a name as Go programs do, by resolv.conf.
func resolveRole() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addrs, err := (&net.Resolver{PreferGo: true}).LookupHost(ctx, "www.example.org")
	fmt.Println(addrs)
	return err
}

// starve leaves the helper no memory, and gives it work until it ends.
func (w *world) starve(p *process) {
	w.Helper()
	w.must(unix.Prlimit(p.Process.Pid, unix.RLIMIT_AS, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}, nil))
	gone := make(chan struct{})
	go func() { defer close(gone); _ = p.Wait() }()
	p.dead = true
	for {
		// Each question wants memory, by and by more than the heap has.
		c, err := net.Dial("unixpacket", socket)
		if err == nil {
			_, _ = c.Write(make([]byte, 100<<10))
			c.Close()
		}
		select {
		case <-gone:
			if code := p.ProcessState.ExitCode(); code != 2 {
				w.Errorf("without memory the helper's status is %d, want 2", code)
			}
			return
		case <-w.Context().Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
}
