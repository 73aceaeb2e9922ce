package upstream_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestUnbound asks a real server: Debian's unbound, by TLS.
func TestUnbound(t *testing.T) {
	program, err := exec.LookPath("unbound")
	if err != nil {
		t.Skip("NOT TRIED WITH A FOREIGN SERVER: there is no unbound; install Debian's package of that name")
	}
	s := newServer(t) // For its certificate and key.
	dir := t.TempDir()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(ln.Addr().String())
	ln.Close()
	file := filepath.Join(dir, "unbound.conf")
	config := fmt.Sprintf(`
server:
	chroot: ""
	username: ""
	pidfile: ""
	use-syslog: no
	logfile: %q
	interface: 127.0.0.1@%d
	tls-port: %d
	tls-service-pem: %q
	tls-service-key: %q
	do-ip6: no
	local-zone: "example." static
	local-data: 'a.example. 60 IN TXT "a.example."'
	local-data: 'b.example. 60 IN TXT "b.example."'
remote-control:
	control-enable: no
`, filepath.Join(dir, "log"), addr.Port(), addr.Port(), s.caFile, s.keyFile)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-d", "-c", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr.String()); err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("unbound does not come up:\n%s", log)
		}
	}
	for _, text := range []string{"tls://dns.example@" + addr.String(), "tls://" + addr.String() + "#" + s.pin} {
		set := newSet(t, s.caFile, text)
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				if err := ask(t, set, strings.Repeat("ab", 20)[i:i+1]+".example."); err != nil {
					t.Errorf("%s: %v", text, err)
				}
			})
		}
		wg.Wait()
	}
}
