package vnet

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	dnsTTL      = 5               // Seconds: the lab changes often.
	dnsPatience = 2 * time.Second // With each server of a zone.
)

// Names is what the lab's name server knows. Names are absolute, with or without
// the last dot; their case does not matter.
type Names struct {
	// Addrs are the addresses of single names. A name without addresses exists,
	// and has none.
	Addrs map[string][]netip.Addr
	// Zones are zones whose name servers are members of the LAN, at port 53.
	Zones map[string][]netip.Addr
}

// A DNS is a name server for the LAN, in the place of the root: it knows some
// names, and which members serve which zones. Asked by a resolver, it refers to
// them; asked by a stub, which wants recursion, it asks them itself. What is
// neither is refused, so that nothing of the lab is ever asked outside.
type DNS struct {
	host  *Host
	names atomic.Pointer[Names] // With canonical names.
}

// ServeDNS serves names at port 53 of an address of the host, until Close.
func (h *Host) ServeDNS(at netip.Addr, names Names) (*DNS, error) {
	d := &DNS{host: h}
	d.Set(names)
	packets, err := h.ListenUDP(netip.AddrPortFrom(at, 53))
	if err != nil {
		return nil, err
	}
	streams, err := h.ListenTCP(netip.AddrPortFrom(at, 53))
	if err != nil {
		return nil, errors.Join(err, packets.Close())
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: d}, {Listener: streams, Handler: d}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		err := h.serve(func() { _ = s.ActivateAndServe() }, // Ends with an error that says that it was closed.
			func() error { <-ready; return s.Shutdown() })
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Set replaces all that the server knows.
func (d *DNS) Set(n Names) {
	c := &Names{Addrs: map[string][]netip.Addr{}, Zones: map[string][]netip.Addr{}}
	for name, addrs := range n.Addrs {
		c.Addrs[dns.CanonicalName(name)] = addrs
	}
	for zone, addrs := range n.Zones {
		c.Zones[dns.CanonicalName(zone)] = addrs
	}
	d.names.Store(c)
}

// ServeDNS answers one question.
func (d *DNS) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	_ = w.WriteMsg(d.answer(w.LocalAddr().Network(), q)) // Who asked asks again.
}

func (d *DNS) answer(network string, q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	if q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 || q.Question[0].Qclass != dns.ClassINET {
		return m.SetRcode(q, dns.RcodeNotImplemented)
	}
	m.SetReply(q)
	names, name := d.names.Load(), dns.CanonicalName(q.Question[0].Name)
	if addrs, ok := names.Addrs[name]; ok {
		m.Authoritative = true
		m.Answer = addressRecords(q.Question[0].Name, addrs, q.Question[0].Qtype)
		return m
	}
	for zone := name; ; {
		if servers, ok := names.Zones[zone]; ok {
			if q.RecursionDesired {
				return d.ask(network, servers, q)
			}
			refer(m, zone, servers)
			return m
		}
		next, end := dns.NextLabel(zone, 0)
		if end {
			return m.SetRcode(q, dns.RcodeRefused)
		}
		zone = zone[next:]
	}
}

// addressRecords returns the addresses of a name that are of a type.
func addressRecords(name string, addrs []netip.Addr, qtype uint16) (rrs []dns.RR) {
	for _, a := range addrs {
		switch {
		case a.Is4() && (qtype == dns.TypeA || qtype == dns.TypeANY):
			rrs = append(rrs, &dns.A{Hdr: rrHeader(name, dns.TypeA), A: a.AsSlice()})
		case a.Is6() && (qtype == dns.TypeAAAA || qtype == dns.TypeANY):
			rrs = append(rrs, &dns.AAAA{Hdr: rrHeader(name, dns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	return rrs
}

func rrHeader(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: dnsTTL}
}

// refer writes a referral (RFC 1034, 4.3.2, 3b): the servers of a zone, which
// have names in the zone that only the glue knows.
func refer(m *dns.Msg, zone string, servers []netip.Addr) {
	ns := "lab-ns." + strings.TrimPrefix(zone, ".")
	m.Ns = []dns.RR{&dns.NS{Hdr: rrHeader(zone, dns.TypeNS), Ns: ns}}
	m.Extra = addressRecords(ns, servers, dns.TypeANY)
}

// ask returns the answer of the first server of a zone that gives one.
func (d *DNS) ask(network string, servers []netip.Addr, q *dns.Msg) *dns.Msg {
	for _, a := range servers {
		if r, err := d.exchange(network, netip.AddrPortFrom(a, 53), q); err == nil {
			r.Id, r.RecursionAvailable = q.Id, true
			return r
		}
	}
	return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
}

func (d *DNS) exchange(network string, at netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dnsPatience)
	defer cancel()
	conn, err := d.host.dial(ctx, network, at)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // The answer is read, or an error returned.
	client := dns.Client{Net: network, ReadTimeout: dnsPatience, WriteTimeout: dnsPatience}
	r, _, err := client.ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: conn})
	return r, err
}
