package kernel_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/kernel"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/problem"
)

var quiet = slog.New(slog.DiscardHandler)

// machine is a configuration with files of its own.
func machine(t *testing.T) kernel.Config {
	t.Helper()
	kernel.Need(t)
	dir := t.TempDir()
	cfg := kernel.Config{ResolvConf: filepath.Join(dir, "resolv.conf"), State: filepath.Join(dir, "state")}
	if err := os.WriteFile(filepath.Join(dir, "from-dhcp"), []byte("nameserver 198.51.100.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("from-dhcp", cfg.ResolvConf); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func open(t *testing.T, cfg kernel.Config) *kernel.Path {
	t.Helper()
	p, err := kernel.New(cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), kernel.Unblock(context.Background(), cfg)); err != nil {
			t.Error(err)
		}
	})
	return p
}

func apply(t *testing.T, p *kernel.Path, q policy.Policy) {
	t.Helper()
	if err := p.Apply(t.Context(), q); err != nil {
		t.Fatalf("applying %+v: %v", q, err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func tables(t *testing.T) (names []string) {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	all, err := conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		names = append(names, one.Name)
	}
	return names
}

// rules has the routing rules that are not the kernel's own.
func rules(t *testing.T) (all []string) {
	t.Helper()
	for _, version := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		rs, err := netlink.RuleList(version)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			if r.Priority > 0 && r.Priority < 32766 {
				all = append(all, r.String())
			}
		}
	}
	return all
}

// left checks that nothing of a tunnel is there.
func left(t *testing.T, cfg kernel.Config) {
	t.Helper()
	if r := rules(t); len(r) > 0 {
		t.Errorf("routing rules are left: %q", r)
	}
	if _, err := netlink.LinkByName("leap0"); err == nil {
		t.Error("the link is left")
	}
	if target, err := os.Readlink(cfg.ResolvConf); err != nil || target != "from-dhcp" {
		t.Errorf("resolv.conf is not the link that it was: %q, %v", target, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(cfg.ResolvConf)); err != nil || len(entries) != 3 {
		t.Errorf("files are left: %v, %v", entries, err)
	}
}

func TestPolicies(t *testing.T) {
	cfg := machine(t)
	p := open(t, cfg)
	before := read(t, "/proc/sys/net/ipv4/conf/all/arp_ignore")
	all := policies()
	delete(all, "full") // Its window is over, its certificate is none.
	for name, q := range all {
		t.Run(name, func(t *testing.T) {
			apply(t, p, q)
			first := rules(t)
			apply(t, p, q)
			if again := rules(t); !slices.Equal(again, first) {
				t.Errorf("applied again, the routing rules change from\n%q to\n%q", first, again)
			}
			if got, want := slices.Contains(tables(t), "leap_vpn"), q.Mode != policy.Open; got != want {
				t.Errorf("a table is there: %v, want %v", got, want)
			}
			if q.Tunnel == nil {
				left(t, cfg)
				return
			}
			if text := read(t, cfg.ResolvConf); !strings.Contains(text, "nameserver 10.64.0.1") || strings.Contains(text, "198.51.100.1") {
				t.Errorf("resolv.conf is\n%s", text)
			}
			l, err := netlink.LinkByName("leap0")
			if err != nil {
				t.Fatal(err)
			}
			addresses, err := netlink.AddrList(l, netlink.FAMILY_V4)
			if err != nil || len(addresses) != 1 || addresses[0].IP.String() != "10.64.3.9" || l.Attrs().MTU != 1420 {
				t.Errorf("the link has %v, MTU %d: %v", addresses, l.Attrs().MTU, err)
			}
			if s, err := p.Stats(t.Context()); err != nil || !s.LastHandshake.IsZero() {
				t.Errorf("stats %+v, %v", s, err)
			}
			if text := read(t, "/proc/sys/net/ipv4/conf/all/arp_ignore"); text != "2" {
				t.Errorf("arp_ignore is %s", text)
			}
		})
	}
	apply(t, p, policy.Policy{Mode: policy.Open})
	left(t, cfg)
	if _, err := p.Dial(t.Context(), "tcp", netip.MustParseAddrPort("192.0.2.1:443")); !errors.Is(err, problem.Permission) {
		t.Errorf("dialling for others while all can: %v", err)
	}
	if text := read(t, "/proc/sys/net/ipv4/conf/all/arp_ignore"); text != before || slices.Contains(tables(t), "leap_vpn") {
		t.Errorf("open, with arp_ignore %s and tables %v", text, tables(t))
	}
}

// TestDeputy: services of this computer do not take a caller for root.
func TestDeputy(t *testing.T) {
	p := open(t, machine(t))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	at := ln.Addr().(*net.TCPAddr).AddrPort()
	apply(t, p, policy.Policy{Reach: []netip.AddrPort{at}})
	if _, err := p.Dial(t.Context(), "tcp", at); !errors.Is(err, problem.Permission) {
		t.Errorf("dialling loopback: %v", err)
	}
}

func TestFailureBlocks(t *testing.T) {
	cfg := machine(t)
	p := open(t, cfg)
	// Where systemd-resolved is not to be reached, a tunnel is not up.
	cfg.Resolve = func(context.Context, ...string) error { return errors.New("no bus") }
	q := open(t, cfg)
	apply(t, p, policy.Policy{Mode: policy.Open})
	if err := q.Apply(t.Context(), policies()["tunnel"]); err == nil {
		t.Fatal("a tunnel without a resolver is up")
	}
	left(t, cfg)
	if !slices.Contains(tables(t), "leap_vpn") {
		t.Error("after a failure the machine is open")
	}
	if _, err := q.Dial(t.Context(), "tcp", netip.MustParseAddrPort("127.0.0.1:1")); !errors.Is(err, problem.Permission) {
		t.Errorf("dialling: %v", err)
	}
	if err := p.Apply(t.Context(), policy.Policy{Mode: policy.Tunnel}); !errors.Is(err, problem.Invalid) {
		t.Errorf("a tunnel to nowhere: %v", err)
	}
}

// TestTakeOver leaves behind what a crash does: the next process blocks, and
// puts the rest away.
func TestTakeOver(t *testing.T) {
	cfg := machine(t)
	p := open(t, cfg)
	apply(t, p, policies()["tunnel"])
	ours := read(t, cfg.ResolvConf)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(cfg.ResolvConf, cfg.ResolvConf+".before-leap"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.ResolvConf, []byte(ours), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "leap0"}, Mode: netlink.TUNTAP_MODE_TUN}); err != nil {
		t.Fatal(err)
	}
	rule := netlink.NewRule()
	rule.Priority, rule.Table, rule.Family = 5202, 51820, netlink.FAMILY_V4
	if err := netlink.RuleAdd(rule); err != nil {
		t.Fatal(err)
	}
	q := open(t, cfg)
	left(t, cfg)
	if !slices.Contains(tables(t), "leap_vpn") {
		t.Error("the successor opens the machine")
	}
	if _, err := q.Dial(t.Context(), "udp", netip.MustParseAddrPort("192.0.2.1:51820")); !errors.Is(err, problem.Permission) {
		t.Errorf("dialling: %v", err)
	}
	// And one that finds no table opens nothing, and blocks nothing.
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := kernel.Unblock(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	open(t, cfg)
	if slices.Contains(tables(t), "leap_vpn") {
		t.Error("a table from nowhere")
	}
	if err := kernel.Block(); err != nil || !slices.Contains(tables(t), "leap_vpn") {
		t.Errorf("blocking at the start: %v", err)
	}
}

// TestBlockFile: the unit that blocks at the start of the machine failed, so the
// helper does; not when the user has opened the traffic since.
func TestBlockFile(t *testing.T) {
	cfg := machine(t)
	if err := kernel.Unblock(t.Context(), kernel.Config{ResolvConf: cfg.ResolvConf, State: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	cfg.BlockFile = filepath.Join(t.TempDir(), "block-at-boot")
	check := func(when string, want bool) *kernel.Path {
		t.Helper()
		p := open(t, cfg)
		if got := slices.Contains(tables(t), "leap_vpn"); got != want {
			t.Errorf("%s it blocks: %v, want %v", when, got, want)
		}
		return p
	}
	check("without the file", false)
	if err := os.WriteFile(cfg.BlockFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	apply(t, check("with the file", true), policy.Policy{Mode: policy.Open})
	check("after Open", false)
}

func TestDeletedLink(t *testing.T) {
	p := open(t, machine(t))
	apply(t, p, policies()["tunnel"])
	l, err := netlink.LinkByName("leap0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkDel(l); err != nil {
		t.Fatal(err)
	}
	apply(t, p, policies()["tunnel"])
	if _, err := netlink.LinkByName("leap0"); err != nil {
		t.Error(err)
	}
}

func TestResolvConf(t *testing.T) {
	cfg := machine(t)
	p := open(t, cfg)
	apply(t, p, policies()["tunnel"])
	other := filepath.Join(filepath.Dir(cfg.ResolvConf), "other")
	if err := os.WriteFile(other, []byte("nameserver 198.51.100.7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, cfg.ResolvConf); err != nil {
		t.Fatal(err)
	}
	nettest.Until(t, "the tunnel's resolvers are written again", func() bool {
		text, err := os.ReadFile(cfg.ResolvConf)
		return err == nil && strings.Contains(string(text), "10.64.0.1")
	})
	apply(t, p, policy.Policy{})
	if text := read(t, cfg.ResolvConf); text != "nameserver 198.51.100.7" {
		t.Errorf("what the other program wrote became %q", text)
	}
}

// TestFlushed: somebody flushes the machine's firewall, as a restart of
// nftables.service does, or makes a hole of another kind.
func TestFlushed(t *testing.T) {
	p := open(t, machine(t))
	apply(t, p, policy.Policy{})
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	for name, tamper := range map[string]func(t *nftables.Table){
		"all":     func(*nftables.Table) { conn.FlushRuleset() },
		"a chain": func(t *nftables.Table) { conn.DelChain(&nftables.Chain{Name: "output", Table: t}) },
		"a policy": func(t *nftables.Table) {
			accept := nftables.ChainPolicyAccept
			conn.AddChain(&nftables.Chain{
				Name: "output", Table: t, Type: nftables.ChainTypeFilter, Policy: &accept,
				Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter,
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			tamper(&nftables.Table{Name: "leap_vpn", Family: nftables.TableFamilyINet})
			if err := conn.Flush(); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			defer func() { t.Logf("open for %v at most", time.Since(begun)) }()
			nettest.Until(t, "nothing leaves again", func() bool {
				all, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
				i := slices.IndexFunc(all, func(c *nftables.Chain) bool { return c.Name == "output" })
				return err == nil && i >= 0 && all[i].Policy != nil && *all[i].Policy == nftables.ChainPolicyDrop
			})
		})
	}
	apply(t, p, policy.Policy{Mode: policy.Open})
	if slices.Contains(tables(t), "leap_vpn") {
		t.Error("open, the table came back")
	}
}

// TestWindow closes by its time, with the clock of the kernel and with ours.
func TestWindow(t *testing.T) {
	p := open(t, machine(t))
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	// An address that no packet finds is enough: what is rejected says so.
	if err := netlink.RouteReplace(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: &net.IPNet{IP: net.IPv4(192, 0, 2, 0).To4(), Mask: net.CIDRMask(24, 32)}}); err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(2 * time.Second)
	q := policy.Policy{Portal: &policy.Portal{UID: 1000, Until: until}}
	apply(t, p, q)
	if text := kernel.Text(q); !strings.Contains(text, "meta skuid 1000 meta time") {
		t.Errorf("no window in\n%s", text)
	}
	nettest.Until(t, "the window is out of the table", func() bool { return window(t) == 0 })
	if time.Now().Before(until) {
		t.Error("it closed too early")
	}
}

// window counts rules about the portal.
func window(t *testing.T) (n int) {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chains {
		if c.Table.Name != "leap_vpn" {
			continue
		}
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if strings.Contains(string(r.UserData), "portal") {
				n++
			}
		}
	}
	return n
}
