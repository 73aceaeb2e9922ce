package lease_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// addrs lets cmp compare addresses.
var addrs = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func publicKey(t testing.TB) lease.Key {
	t.Helper()
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return lease.Key(k.PublicKey().Bytes())
}

// ecdhPublic is the public key of what is made of k by RFC 7748.
func ecdhPublic(t *testing.T, k lease.Key) []byte {
	t.Helper()
	priv, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		t.Fatal(err)
	}
	return priv.PublicKey().Bytes()
}

func good(t testing.TB) lease.Lease {
	return lease.Lease{
		LeaseID:          lease.ID{1},
		GatewayPublicKey: publicKey(t),
		Endpoints: []lease.Endpoint{
			{Addr: netip.MustParseAddr("192.0.2.1"), Ports: []uint16{51820, 443}, Proto: lease.UDP},
			{Addr: netip.MustParseAddr("192.0.2.1"), Ports: []uint16{443}, Proto: lease.UDP2TCP},
		},
		Addresses:     []netip.Prefix{netip.MustParsePrefix("10.64.3.9/32"), netip.MustParsePrefix("fd00:64::309/128")},
		DNS:           []netip.Addr{netip.MustParseAddr("10.64.0.1")},
		MTU:           1420,
		PSK:           lease.Key{7},
		PQ:            true,
		Plan:          lease.Limited,
		RateBytesPerS: 102400,
		NotAfter:      time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		RenewAfter:    time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC),
	}
}

func TestLease(t *testing.T) {
	l := good(t)
	data, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"lease_id":"01000000000000000000000000000000"`, `"addresses":["10.64.3.9/32","fd00:64::309/128"]`, `"rate_bytes_per_s":102400`, `"proto":"udp2tcp"`, `"not_after":"2026-01-02T03:04:05Z"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %s in %s", want, data)
		}
	}
	got, err := lease.ParseLease(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(l, got, addrs); d != "" {
		t.Error(d)
	}
	got, err = lease.ParseLease(bytes.Replace(data, []byte(`"udp2tcp"`), []byte(`"pigeon"`), 1))
	if err != nil || len(got.Endpoints) != 1 {
		t.Errorf("an unknown protocol: %d endpoints, %v", len(got.Endpoints), err)
	}
}

func TestLeaseRefused(t *testing.T) {
	for name, spoil := range map[string]func(l *lease.Lease){
		"no id":           func(l *lease.Lease) { l.LeaseID = lease.ID{} },
		"no gateway key":  func(l *lease.Lease) { l.GatewayPublicKey = lease.Key{} },
		"weak gateway":    func(l *lease.Lease) { l.GatewayPublicKey = lease.Key{1} },
		"no psk":          func(l *lease.Lease) { l.PSK = lease.Key{} },
		"small mtu":       func(l *lease.Lease) { l.MTU = 1279 },
		"great mtu":       func(l *lease.Lease) { l.MTU = 1501 },
		"no end":          func(l *lease.Lease) { l.NotAfter = time.Time{} },
		"late renewal":    func(l *lease.Lease) { l.RenewAfter = l.NotAfter.Add(1) },
		"no plan":         func(l *lease.Lease) { l.Plan = "" },
		"limitless":       func(l *lease.Lease) { l.RateBytesPerS = 0 },
		"unlimited limit": func(l *lease.Lease) { l.Plan = lease.Unlimited },
		"no endpoint":     func(l *lease.Lease) { l.Endpoints = nil },
		"endpoints":       func(l *lease.Lease) { l.Endpoints = make([]lease.Endpoint, 17) },
		"no address":      func(l *lease.Lease) { l.Endpoints[0].Addr = netip.Addr{} },
		"multicast":       func(l *lease.Lease) { l.Endpoints[0].Addr = netip.MustParseAddr("224.0.0.1") },
		"port 0":          func(l *lease.Lease) { l.Endpoints[0].Ports[0] = 0 },
		"no port":         func(l *lease.Lease) { l.Endpoints[0].Ports = nil },
		"no inner":        func(l *lease.Lease) { l.Addresses = nil },
		"two inner":       func(l *lease.Lease) { l.Addresses[1] = l.Addresses[0] },
		"a whole network": func(l *lease.Lease) { l.Addresses[0] = netip.MustParsePrefix("0.0.0.0/0") },
		"no dns":          func(l *lease.Lease) { l.DNS = nil },
		"dns nowhere":     func(l *lease.Lease) { l.DNS = []netip.Addr{netip.IPv4Unspecified()} },
	} {
		l := good(t)
		spoil(&l)
		data, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lease.ParseLease(data); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l := good(t)
	l.Endpoints[0].Proto = "pigeon"
	if err := l.Validate(); !errors.Is(err, problem.Invalid) {
		t.Errorf("unknown protocol: %v", err)
	}
	if _, err := lease.ParseLease(make([]byte, lease.MaxReply+1)); !errors.Is(err, problem.Invalid) {
		t.Errorf("too long: %v", err)
	}
}

func TestRequest(t *testing.T) {
	k, _ := publicKey(t).MarshalText()
	for text, ok := range map[string]bool{
		`{"wg_public_key":"` + string(k) + `","want":{"ipv6":true,"transport":"udp"}}`: true,
		`{"wg_public_key":"` + string(k) + `","later":1}`:                              true,
		`{"wg_public_key":"` + string(k) + `","want":{"transport":"pigeon"}}`:          false,
		`{"wg_public_key":"` + string(k[1:]) + `"}`:                                    false,
		`{"wg_public_key":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`:             false, // Of order 1.
		`{"wg_public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`:             false,
		`{}`: false,
		``:   false,
		strings.Repeat(" ", lease.MaxRequest) + `{}`: false,
	} {
		if _, err := lease.ParseRequest([]byte(text)); ok && err != nil || !ok && !errors.Is(err, problem.Invalid) {
			t.Errorf("%.80s: %v", text, err)
		}
	}
}

func TestHidden(t *testing.T) {
	l := good(t)
	text := fmt.Sprintf("%v %+v %#v %s %x %d %v", l, l, l.PSK, l.PSK, l.LeaseID, l.PSK, &l)
	psk, _ := l.PSK.MarshalText()
	for _, secret := range []string{string(psk), "0700000", "7 0 0", "0x7", "0100000", "1 0 0"} {
		if strings.Contains(text, secret) {
			t.Errorf("fmt shows %q: %s", secret, text)
		}
	}
}

func TestKeyAndID(t *testing.T) {
	k := publicKey(t)
	text, _ := k.MarshalText()
	if got, err := lease.ParseKey(string(text)); err != nil || got != k {
		t.Errorf("ParseKey: %v", err)
	}
	if priv := (lease.Key{9}); priv.Public() != lease.Key(ecdhPublic(t, priv)) {
		t.Errorf("Public is wrong")
	}
	if k.Hex() != fmt.Sprintf("%x", k[:]) {
		t.Errorf("Hex is wrong")
	}
	id := lease.ID{0xab}
	if got, err := lease.ParseID(strings.TrimPrefix(id.Path(), lease.PathLease+"/")); err != nil || got != id {
		t.Errorf("ParseID: %v", err)
	}
	for _, text := range []string{"", "AB" + strings.Repeat("0", 30), strings.Repeat("0", 32), strings.Repeat("x", 32)} {
		if _, err := lease.ParseID(text); !errors.Is(err, problem.NotExist) {
			t.Errorf("ParseID(%q): %v", text, err)
		}
	}
}

func TestStatus(t *testing.T) {
	for n, want := range map[int]int{-1: 0, 0: 0, 1: 16, 16: 16, 17: 64, 300: 1024} {
		if got := lease.Bucket(n); got != want {
			t.Errorf("Bucket(%d) = %d, want %d", n, got, want)
		}
	}
	for _, c := range [][3]int{{0, 100, 0}, {50, 100, 4}, {99, 100, 7}, {100, 100, 7}, {1, 0, 7}, {-1, 9, 0}} {
		if got := lease.Load(c[0], c[1]); got != c[2] {
			t.Errorf("Load(%d, %d) = %d, want %d", c[0], c[1], got, c[2])
		}
	}
	if s, err := lease.ParseStatus([]byte(`{"load":3,"peers_bucket":64}`)); err != nil || s != (lease.Status{Load: 3, PeersBucket: 64}) {
		t.Errorf("got %v, %v", s, err)
	}
	for _, text := range []string{"", `{"load":8}`, `{"load":-1}`, `{"peers_bucket":-1}`} {
		if _, err := lease.ParseStatus([]byte(text)); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestFrame(t *testing.T) {
	var stream []byte
	want := [][]byte{{1}, bytes.Repeat([]byte{2}, lease.MaxDatagram), {3, 4}}
	for _, d := range want {
		var err error
		if stream, err = lease.AppendFrame(stream, d); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, lease.MaxDatagram)
	r := bytes.NewReader(stream)
	for i, d := range want {
		n, err := lease.ReadFrame(r, buf)
		if err != nil || !bytes.Equal(buf[:n], d) {
			t.Errorf("frame %d: %d bytes, %v", i, n, err)
		}
	}
	if _, err := lease.ReadFrame(r, buf); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	for name, c := range map[string]struct {
		stream []byte
		want   error
	}{
		"half a head": {[]byte{0}, io.ErrUnexpectedEOF},
		"no body":     {[]byte{0, 2}, io.ErrUnexpectedEOF},
		"half a body": {[]byte{0, 2, 1}, io.ErrUnexpectedEOF},
		"empty":       {[]byte{0, 0}, problem.Invalid},
		"too long":    {[]byte{8, 1}, problem.Invalid},
	} {
		if _, err := lease.ReadFrame(bytes.NewReader(c.stream), buf); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for _, n := range []int{0, lease.MaxDatagram + 1} {
		if _, err := lease.AppendFrame(nil, make([]byte, n)); !errors.Is(err, problem.Invalid) {
			t.Errorf("a datagram of %d bytes: %v", n, err)
		}
	}
}
