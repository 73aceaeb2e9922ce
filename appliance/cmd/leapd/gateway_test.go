package main

import (
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"leap.example/appliance/firewall"
	"leap.example/services/gateway"
)

// TestGatewayRules: what the configuration says is what the firewall is told.
func TestGatewayRules(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	cfg := gateway.Config{
		IPv4: prefix("10.64.0.0/16"), IPv6: prefix("fd00:64::/64"), WGListen: []string{"127.0.0.1:51821", "[::1]:51821"},
		Entry: []gateway.ConfigEntry{
			{Addr: addr("192.0.2.5"), Ports: []uint16{51821, 53, 443}, TLSPorts: []uint16{443}},
			{Addr: addr("2001:db8::5"), Ports: []uint16{51821}},
		},
		Egress: []netip.Addr{addr("192.0.2.6")}, Rate: 7, Listen: []string{":443", "192.0.2.5:1194", "192.0.2.6:1194"},
	}
	port, err := kernelPort(cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := firewall.Gateway{
		Port: 51821, Tunnel: []netip.Prefix{prefix("10.64.0.1/16"), prefix("fd00:64::1/64")}, Egress: cfg.Egress, Rate: 7, API: []uint16{443, 1194},
		Entry: []firewall.Entry{{Addr: addr("192.0.2.5"), Ports: []uint16{53, 443}}, {Addr: addr("2001:db8::5"), Ports: []uint16{}}},
	}
	if got := gatewayRules(cfg, port); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	cfg.IPv6 = netip.Prefix{}
	if got := gatewayRules(cfg, port); !reflect.DeepEqual(got.Tunnel, want.Tunnel[:1]) {
		t.Errorf("without IPv6 it has %v", got.Tunnel)
	}
}

func TestKernelPort(t *testing.T) {
	for says, listen := range map[string][]string{
		"a port is required": nil, "listens on one port": {"127.0.0.1:1", "127.0.0.1:2"}, "wg_listen: ": {"gateway:1"},
	} {
		if _, err := kernelPort(gateway.Config{WGListen: listen}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want an error with %q", listen, err, says)
		}
	}
}

// TestListenEarly listens at addresses that this machine does not have.
func TestListenEarly(t *testing.T) {
	listeners, err := listenEarly(t.Context(), []string{"192.0.2.1:0", "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, ln := range listeners {
		defer ln.Close()
	}
	if c, err := net.Dial("tcp", listeners[1].Addr().String()); err != nil {
		t.Error(err)
	} else {
		_ = c.Close()
	}
	taken := listeners[1].Addr().String()
	if _, err := listenEarly(t.Context(), []string{"127.0.0.1:0", taken}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port that is taken: %v", err)
	}
}
