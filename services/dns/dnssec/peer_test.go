package dnssec_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"leap.example/services/dns/dnssectest"
)

// Foreign validators judge every case, by programs without a daemon: that of
// Unbound's library and that of BIND's. Their verdicts are ours.

func TestUnbound(t *testing.T) {
	w := dnssectest.Shared(t)
	addr := w.Serve(t)
	config := filepath.Join(t.TempDir(), "unbound.conf")
	host, port, _ := net.SplitHostPort(addr)
	err := os.WriteFile(config, fmt.Appendf(nil, `
server:
	chroot: ""
	username: ""
	do-ip6: no
	do-not-query-localhost: no
	module-config: "validator iterator"
	trust-anchor: %q
	val-sig-skew-min: 0
	val-sig-skew-max: 0
	local-zone: "test." nodefault
	local-zone: "invalid." nodefault
forward-zone:
	name: "."
	forward-addr: %s@%s
`, strings.Join(strings.Fields(w.Anchor(".")), " "), host, port), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "unbound-host", 1, func(program string, c dnssectest.Case) (string, error) {
		// It exits with 1 after NXDOMAIN, too.
		out, _ := exec.Command(program, "-C", config, "-v", "-t", dns.TypeToString[c.Type], c.Name).Output()
		switch text := string(out); {
		case strings.Contains(text, "(BOGUS"):
			return "bogus", nil
		case strings.Contains(text, "(insecure)"):
			return "insecure", nil
		case strings.Contains(text, "(secure)"):
			return "secure", nil
		default:
			return "", fmt.Errorf("it wrote %q", text)
		}
	})
}

func TestDelv(t *testing.T) {
	w := dnssectest.Shared(t)
	host, port, _ := net.SplitHostPort(w.Serve(t))
	anchor := strings.Fields(w.Anchor("."))
	file := filepath.Join(t.TempDir(), "anchor")
	err := os.WriteFile(file, fmt.Appendf(nil, "trust-anchors { . static-ds %s %s %s %q; };\n", anchor[4], anchor[5], anchor[6], anchor[7]), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "delv", 3, func(program string, c dnssectest.Case) (string, error) {
		out, err := exec.Command(program, "@"+host, "-p", port, "-a", file, "+root=.", "-t", dns.TypeToString[c.Type], "-q", c.Name).CombinedOutput()
		switch text := string(out); {
		case strings.Contains(text, "ncache") && !strings.Contains(text, "negative response"):
			return "", nil // Behind an alias it does not say how sure it is of an absence.
		case c.Name == "nowhere.optout." || c.Name == "unsigned.optout.":
			return "", nil // It calls secure what a span with opt-out proves.
		case strings.Contains(text, "resolution failed") && !strings.Contains(text, "negative response"):
			return "bogus", nil
		case strings.Contains(text, "unsigned answer"):
			return "insecure", nil
		case strings.Contains(text, "fully validated"):
			return "secure", nil
		default:
			return "", fmt.Errorf("%w: it wrote %q", err, text)
		}
	})
}

// compare has a program judge one of step cases; where it says "", it has no
// opinion.
func compare(t *testing.T, name string, step int, judge func(program string, c dnssectest.Case) (string, error)) {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("NOT JUDGED BY A FOREIGN VALIDATOR: there is no %s; make debian installs it", name)
	}
	cases := make(chan dnssectest.Case)
	var wg sync.WaitGroup
	var n atomic.Int32
	for range 4 {
		wg.Go(func() {
			for c := range cases {
				got, err := judge(program, c)
				if got == "" && err == nil {
					continue
				}
				n.Add(1)
				if got != c.Want {
					t.Errorf("%s %s: %s says %q (%v), want %s", c.Name, dns.TypeToString[c.Type], name, got, err, c.Want)
				}
			}
		})
	}
	for i, c := range dnssectest.Cases() {
		if !c.Ours && i%step == 0 { // The more the slower.
			cases <- c
		}
	}
	close(cases)
	wg.Wait()
	// At most a quarter is left without an opinion.
	if want := len(dnssectest.Cases()) / step * 3 / 4; int(n.Load()) < want {
		t.Errorf("%s has judged %d cases, want %d", name, n.Load(), want)
	}
	t.Logf("%s: %d verdicts", name, n.Load())
}
