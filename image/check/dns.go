package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"leap.example/appliance/node"
	"leap.example/image/compile"
)

// dns asks the node's name server for the zone, and for what is not its business.
// That of a gateway answers those in the tunnel alone.
func (c *checker) dns(ctx context.Context) {
	if !c.Node.IsNameServer() {
		return
	}
	networks := []string{"tcp"}
	if c.direct {
		networks = append(networks, "udp")
	}
	for _, network := range networks {
		c.judge("dns."+network, c.zone(ctx, network), "it has the zone of "+c.domain()+" as it was compiled, and no other", c.logs("dns"))
	}
	if c.direct && !c.Node.IPAddress.IsPrivate() && !c.Node.IPAddress.IsLoopback() {
		c.world(ctx)
	}
}

// zone compares the zone with the instance.
func (c *checker) zone(ctx context.Context, network string) error {
	domain := dns.Fqdn(c.domain())
	soa, err := c.ask(ctx, network, domain, dns.TypeSOA)
	if err != nil {
		return err
	}
	if want, ok := c.Instance.Zones[c.domain()]; ok && (len(soa) != 1 || soa[0].(*dns.SOA).Serial != want.Serial) {
		return fmt.Errorf("the zone is %v, and its serial should be %d", soa, want.Serial)
	}
	for _, h := range c.Instance.Hosts(c.Node.Environment) {
		name := domain
		if h.Name != "" {
			name = h.Name + "." + domain
		}
		records, err := c.ask(ctx, network, name, dns.TypeA)
		if err != nil {
			return err
		}
		var got, want []string
		for _, r := range records {
			got = append(got, r.(*dns.A).A.String())
		}
		for _, a := range h.Addresses() {
			if a.Is4() {
				want = append(want, a.String())
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s has the addresses %v, and should have %v", name, got, want)
		}
	}
	if _, err := c.ask(ctx, network, "elsewhere.invalid.", dns.TypeA); !errors.Is(err, errRefused) {
		return fmt.Errorf("it answers for a zone that is not its own: %w", err)
	}
	return nil
}

var errRefused = errors.New("it refuses to answer")

// ask returns the records of a type that the node's name server has for a name.
func (c *checker) ask(ctx context.Context, network, name string, kind uint16) ([]dns.RR, error) {
	conn, err := c.Dial(ctx, network, netip.AddrPortFrom(c.Node.IPAddress, compile.PortDNS).String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // The answer is read, or an error returned.
	client := dns.Client{Net: network, Timeout: dialFor}
	r, _, err := client.ExchangeWithConnContext(ctx, new(dns.Msg).SetQuestion(name, kind), &dns.Conn{Conn: conn})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case r.Rcode == dns.RcodeRefused:
		return nil, errRefused
	case r.Rcode != dns.RcodeSuccess || !r.Authoritative:
		return nil, fmt.Errorf("%s: %s, and not the answer of who has the zone", name, dns.RcodeToString[r.Rcode])
	}
	return slices.DeleteFunc(r.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype != kind }), nil
}

// world compares what the world's name servers say of the provider with what it
// should be.
func (c *checker) world(ctx context.Context) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", c.domain()+".")
	var want []netip.Addr
	for _, n := range c.Instance.In(c.Node.Environment, "webapp") {
		want = append(want, n.IPAddress)
	}
	next := "have the registrar delegate " + c.domain() + " to the nodes with the service dns, or give the zone to another name server: leap compile zone"
	if err != nil {
		c.add("dns.world", node.CheckWarn, strings.TrimSpace(err.Error()), next)
		return
	}
	for k, a := range addrs {
		addrs[k] = a.Unmap()
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	slices.SortFunc(want, netip.Addr.Compare)
	if !slices.Equal(addrs, want) {
		c.add("dns.world", node.CheckWarn, fmt.Sprintf("the world finds %s at %v, and it should be at %v", c.domain(), addrs, want), next)
		return
	}
	c.good("dns.world", "the world finds "+c.domain())
}
