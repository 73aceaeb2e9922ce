package dns_test

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"leap.example/services/dns"
)

const inNamespace = "DNS_TEST_IN_NAMESPACE"

// TestLateAddress: listeners are there before their addresses, as those of a
// gateway's tunnel are, and answer once these have come. It runs again in a
// network of its own.
func TestLateAddress(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLateAddress$", "-test.v")
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if _, failed := err.(*exec.ExitError); err != nil && !failed {
			t.Skipf("ADDRESSES THAT COME LATE ARE NOT TRIED: no network namespace can be made here: %v", err)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if strings.Contains(string(out), "--- SKIP") {
			t.Skipf("%s", out)
		}
		return
	}
	ip := func(args ...string) {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Skipf("ADDRESSES THAT COME LATE ARE NOT TRIED: ip %v: %v: %s", args, err, out)
		}
	}
	ip("link", "set", "lo", "up")
	srv, err := dns.New(dns.Config{Zones: []dns.ConfigZone{zone()}, Resolver: dns.ConfigResolver{
		Listen: []string{"10.64.0.1:53", "[fd00:64::1]:53"},
		Allow:  []netip.Prefix{netip.MustParsePrefix("10.64.0.0/16"), netip.MustParsePrefix("fd00:64::/64")},
	}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	for deadline := time.Now().Add(8 * time.Second); srv.Check(ctx) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(srv.Check(ctx))
		}
	}
	ip("address", "add", "10.64.0.1/32", "dev", "lo")
	ip("-6", "address", "add", "fd00:64::1/128", "dev", "lo", "nodad")
	for _, addr := range []string{"10.64.0.1:53", "[fd00:64::1]:53"} {
		for _, network := range []string{"udp", "tcp"} {
			c := mdns.Client{Net: network, Timeout: time.Second}
			r, _, err := c.ExchangeContext(t.Context(), ask("mx1.example.org.", mdns.TypeA), addr)
			for range 8 {
				if err != nil { // The kernel begins to use an address a little later.
					r, _, err = c.ExchangeContext(t.Context(), ask("mx1.example.org.", mdns.TypeA), addr)
				}
			}
			if err != nil || len(r.Answer) != 1 {
				t.Errorf("%s %s: %v, %v", addr, network, r, err)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
