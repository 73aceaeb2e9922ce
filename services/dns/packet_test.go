package dns_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"leap.example/services/dns"
)

func asDNS(err error, target **net.DNSError) bool { return errors.As(err, target) }

// TestRefusals sends what is no ordinary query.
func TestRefusals(t *testing.T) {
	addr := authoritative(t, dns.Config{Zones: []dns.ConfigZone{zone()}})
	edit := func(f func(*mdns.Msg)) []byte {
		m := ask("example.org.", mdns.TypeSOA)
		f(m)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tt := range []struct {
		name   string
		packet []byte
		rcode  int // -1: no answer.
	}{
		{"empty", []byte{}, -1},
		{"half a header", []byte{1, 2, 3, 4, 5, 6}, -1},
		{"an answer", edit(func(m *mdns.Msg) { m.Response = true }), -1},
		{"cut off", edit(func(*mdns.Msg) {})[:20], mdns.RcodeFormatError},
		{"no question", edit(func(m *mdns.Msg) { m.Question = nil }), mdns.RcodeFormatError},
		{"two questions", edit(func(m *mdns.Msg) { m.Question = append(m.Question, m.Question[0]) }), mdns.RcodeFormatError},
		{"notify", edit(func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify }), mdns.RcodeNotImplemented},
		{"update", edit(func(m *mdns.Msg) { m.Opcode = mdns.OpcodeUpdate }), mdns.RcodeNotImplemented},
		{"version", edit(func(m *mdns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }), mdns.RcodeBadVers},
		{"two EDNS records", edit(func(m *mdns.Msg) { m.SetEdns0(1232, false); m.SetEdns0(1232, false) }), mdns.RcodeFormatError},
		{"chaos", edit(func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS }), mdns.RcodeRefused},
		{"transfer", edit(func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeAXFR }), mdns.RcodeRefused},
		{"a query", edit(func(*mdns.Msg) {}), mdns.RcodeSuccess},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := raw(t, addr, tt.packet); got != tt.rcode {
				t.Errorf("got %d, want %d", got, tt.rcode)
			}
		})
	}
}

// raw sends a packet by TCP, where no answer is a closed connection and needs
// no waiting, and returns the code of the answer.
func raw(t *testing.T, addr string, packet []byte) int {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(8 * time.Second))
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)); err != nil {
		t.Fatal(err)
	}
	r, err := (&mdns.Conn{Conn: conn}).ReadMsg()
	if errors.Is(err, io.EOF) {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	if !r.Response || len(packet) > 1 && r.Id != binary.BigEndian.Uint16(packet) {
		t.Errorf("answer %v", r)
	}
	return r.Rcode
}

// TestRate: beyond its rate a network gets truncated answers and silence by
// UDP, and everything by TCP.
func TestRate(t *testing.T) {
	addr := authoritative(t, dns.Config{Zones: []dns.ConfigZone{zone()}, Authoritative: dns.ConfigAuthoritative{Rate: 3}})
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const sent = 40
	for i := range sent {
		m := ask("example.org.", mdns.TypeSOA)
		m.Id = uint16(i)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	full, short := 0, 0
	buf := make([]byte, 2048)
	for {
		conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := conn.Read(buf)
		if err != nil {
			break
		}
		m := new(mdns.Msg)
		if err := m.Unpack(buf[:n]); err != nil {
			t.Fatal(err)
		}
		if m.Truncated {
			short++
		} else {
			full++
		}
	}
	if full < 1 || full > sent/2 || short < 1 || full+short > sent-5 {
		t.Errorf("of %d queries %d were answered and %d told to come by TCP", sent, full, short)
	}
	for range 10 {
		if r := exchange(t, "tcp", addr, ask("example.org.", mdns.TypeSOA)); r.Truncated || len(r.Answer) != 1 {
			t.Fatalf("by TCP: %v", r)
		}
	}
}

// TestManyConnections: one client cannot hold all connections.
func TestManyConnections(t *testing.T) {
	addr := authoritative(t, dns.Config{Zones: []dns.ConfigZone{zone()}})
	for range 16 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(8 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("connection 17 of one client: %v", err)
	}
}

// TestRun opens the listeners of both roles and closes them.
func TestRun(t *testing.T) {
	srv, err := dns.New(dns.Config{
		Zones:         []dns.ConfigZone{zone()},
		Authoritative: dns.ConfigAuthoritative{Listen: []string{"127.0.0.1:0"}},
		Resolver:      dns.ConfigResolver{Listen: []string{"127.0.0.1:0", "127.0.0.1:0"}},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Check(t.Context()); err == nil {
		t.Error("healthy before it runs")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	for deadline := time.Now().Add(8 * time.Second); srv.Check(ctx) != nil; {
		if time.Now().After(deadline) {
			t.Fatal(srv.Check(ctx))
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestRunFails: a port that is in use is Run's error, and the other listeners
// are closed.
func TestRunFails(t *testing.T) {
	pc, ln := listen(t)
	defer pc.Close()
	defer ln.Close()
	srv, err := dns.New(dns.Config{
		Zones:         []dns.ConfigZone{zone()},
		Authoritative: dns.ConfigAuthoritative{Listen: []string{"127.0.0.1:0", ln.Addr().String()}},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Run(t.Context()); err == nil {
		t.Error("Run took a port in use")
	}
}
