package dns_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"leap.example/services/dns"
	"leap.example/services/dns/dnssectest"
)

const benchUpstream, benchAnchor = "DNS_BENCH_UPSTREAM", "DNS_BENCH_ANCHOR"

// TestServeBench is the process that BenchmarkCached measures.
func TestServeBench(t *testing.T) {
	if os.Getenv(benchUpstream) == "" {
		return
	}
	srv, err := dns.New(dns.Config{Resolver: dns.ConfigResolver{
		Listen: []string{"127.0.0.1:0"}, Upstreams: []string{os.Getenv(benchUpstream)}, TrustAnchors: []string{os.Getenv(benchAnchor)}, Rate: 1e9,
	}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pc, ln := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.ServeResolver(ctx, pc, ln) }()
	fmt.Println(ln.Addr())
	bufio.NewReader(os.Stdin).ReadByte() // Until the benchmark goes away.
	cancel()
	<-done
}

// BenchmarkCached measures answers from the cache, validated once, to clients
// that ask by UDP with and without the DO bit, beside Debian's unbound with one
// thread. answers/s is what four clients get that wait for 32 answers at a time;
// cpu-us/answer is the processor time of the server, user and system.
func BenchmarkCached(b *testing.B) {
	w := dnssectest.New()
	var records strings.Builder
	for i := range benchNames {
		fmt.Fprintf(&records, "n%d 3600 A 192.0.2.%d\n", i, i)
	}
	w.Zone(b, ".", dnssectest.Options{}, "")
	w.Zone(b, "bench.", dnssectest.Options{}, records.String())
	w.Sign(b)
	upstream, anchor := w.Serve(b), strings.Join(strings.Fields(w.Anchor(".")), " ")
	for _, server := range []struct {
		name  string
		start func(*testing.B, string, string) (string, int)
	}{{"ours", startOurs}, {"unbound", startUnbound}} {
		for _, do := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/do=%t", server.name, do), func(b *testing.B) {
				addr, pid := server.start(b, upstream, anchor)
				for i := range benchNames { // Fills the cache.
					exchange(b, "udp", addr, ask(fmt.Sprintf("n%d.bench.", i), mdns.TypeA).SetEdns0(1232, do))
				}
				before := used(b, pid)
				b.ResetTimer()
				n := load(b, addr, b.N, do)
				b.StopTimer()
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "answers/s")
				b.ReportMetric(float64((used(b, pid)-before).Microseconds())/float64(n), "cpu-us/answer")
			})
		}
	}
}

const (
	benchNames = 200
	clients    = 4
	window     = 32
)

// load asks n questions and returns how many were answered.
func load(b *testing.B, addr string, n int, do bool) int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	answered := 0
	for c := range clients {
		wg.Go(func() {
			conn, err := net.Dial("udp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			buf, got := make([]byte, 2048), 0
			for i := c; i < n; {
				sent := 0
				for ; sent < window && i < n; i += clients {
					m := ask(fmt.Sprintf("n%d.bench.", i%benchNames), mdns.TypeA).SetEdns0(1232, do)
					packet, _ := m.Pack()
					conn.Write(packet)
					sent++
				}
				for range sent {
					conn.SetReadDeadline(time.Now().Add(5 * time.Second))
					if _, err := conn.Read(buf); err != nil {
						break // Lost: it is not counted.
					}
					got++
				}
			}
			mu.Lock()
			answered += got
			mu.Unlock()
		})
	}
	wg.Wait()
	return answered
}

// used returns the processor time of a process.
func used(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip(err)
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func startOurs(b *testing.B, upstream, anchor string) (string, int) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestServeBench$")
	cmd.Env = append(os.Environ(), benchUpstream+"="+upstream, benchAnchor+"="+anchor)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(addr), cmd.Process.Pid
}

func startUnbound(b *testing.B, upstream, anchor string) (string, int) {
	program, err := exec.LookPath("unbound")
	if err != nil {
		b.Skip("no figures of a peer: there is no unbound")
	}
	pc, ln := listen(b)
	addr := netip.MustParseAddrPort(ln.Addr().String())
	pc.Close()
	ln.Close()
	up := netip.MustParseAddrPort(upstream)
	file := filepath.Join(b.TempDir(), "unbound.conf")
	config := fmt.Sprintf(`
server:
	chroot: ""
	username: ""
	pidfile: ""
	use-syslog: no
	logfile: "/dev/null"
	interface: 127.0.0.1
	port: %d
	do-ip6: no
	do-not-query-localhost: no
	module-config: "validator iterator"
	trust-anchor: %q
	local-zone: "invalid." nodefault
	num-threads: 1
remote-control:
	control-enable: no
forward-zone:
	name: "."
	forward-addr: %s@%d
`, addr.Port(), anchor, up.Addr(), up.Port())
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(program, "-d", "-c", file)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr.String()); err == nil {
			conn.Close()
			return addr.String(), cmd.Process.Pid
		}
	}
	b.Fatal("unbound does not come up")
	return "", 0
}
