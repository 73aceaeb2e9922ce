package vpn

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"leap.example/client/vpn/enroll"
	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/problem"
)

// endTimeout bounds giving a lease back.
const endTimeout = 3 * time.Second

// act carries an action out and returns its answer.
func (v *VPN) act(ctx context.Context, a machine.Action) machine.Event {
	switch a := a.(type) {
	case machine.Discover:
		list, measured, err := v.candidates(ctx, a.Avoid)
		if err != nil {
			return failed(a.Seq, machine.Forbidden, err)
		}
		return machine.Found{Seq: a.Seq, Gateways: list, Measure: !measured}
	case machine.Measure:
		return machine.Found{Seq: a.Seq, Gateways: v.nearest(ctx, a.Gateways)}
	case machine.Enroll:
		return v.enrol(ctx, a)
	case machine.Renew:
		return v.renew(ctx, a)
	}
	panic("the machine has an action that nobody carries out")
}

// failed is the answer to an action that came to nothing.
func failed(seq uint64, fault machine.Fault, err error) machine.Event {
	if e, ok := errors.AsType[*enroll.Error](err); ok {
		fault = e.Fault
	}
	return machine.Failed{Seq: seq, Fault: fault, Problem: err.Error()}
}

// enrol uses the lease that is kept of a gateway, or asks for one.
func (v *VPN) enrol(ctx context.Context, a machine.Enroll) machine.Event {
	old, kept := v.leaseOf(func(host string) bool { return host == a.Gateway.Name })
	if kept && !a.New {
		if l, err := v.usable(old); err == nil {
			return machine.Granted{Seq: a.Seq, Lease: l, Cached: true}
		}
	}
	var g enroll.Grant
	err := v.withCertificate(ctx, func(c *enroll.Client) (err error) {
		if kept { // Its place counts against the certificate's limit.
			ending, cancel := context.WithTimeout(ctx, endTimeout)
			_ = c.End(ending, old) // A gateway that does not know it any more is as good.
			cancel()
			kept = false
		}
		g, err = c.Lease(ctx, a.Gateway)
		return err
	})
	return v.granted(a.Seq, g, err)
}

// renew prolongs the lease that is in use.
func (v *VPN) renew(ctx context.Context, a machine.Renew) machine.Event {
	old, kept := v.leaseOf(func(host string) bool { return host == a.Lease.Gateway.Name })
	if !kept || old.Lease.LeaseID != a.Lease.ID {
		return machine.Failed{Seq: a.Seq, Fault: machine.Gone, Problem: "the lease is not kept any more"}
	}
	var g enroll.Grant
	err := v.withCertificate(ctx, func(c *enroll.Client) (err error) {
		g, err = c.Renew(ctx, old)
		return err
	})
	if e, ok := errors.AsType[*enroll.Error](err); ok && e.Fault == machine.Gone {
		err = errors.Join(err, v.keepLease(enroll.Grant{Gateway: old.Gateway}))
	}
	return v.granted(a.Seq, g, err)
}

// granted keeps a lease and hands it over.
func (v *VPN) granted(seq uint64, g enroll.Grant, err error) machine.Event {
	if err == nil {
		err = v.keepLease(g)
	}
	if err != nil {
		return failed(seq, machine.Forbidden, err)
	}
	l, err := v.usable(g)
	if err != nil {
		return failed(seq, machine.Unwilling, err)
	}
	return machine.Granted{Seq: seq, Lease: l}
}

// usable returns g for the machine, if it makes a policy.
func (v *VPN) usable(g enroll.Grant) (*machine.Lease, error) {
	p, err := v.cfg.Provider()
	if err != nil {
		return nil, err
	}
	pem, err := v.readCertificate()
	if err != nil {
		return nil, err
	}
	l := g.Machine(p.CA(), policy.PairOf(pem), v.prefs.Load().Route)
	if len(l.Routes) == 0 {
		return nil, problem.Invalid.Errorf("the lease has no endpoint that this client knows")
	}
	for _, r := range l.Routes {
		link := l.Link
		link.Endpoint, link.Wrap = r.Endpoint, r.Wrap
		if err := (policy.Policy{Mode: policy.Tunnel, Tunnel: &link}).Validate(time.Now()); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// services are the addresses of the provider's API, and of the resolver that
// was named for it. They are resolved while traffic is still open, or known
// from earlier.
func (v *VPN) services(ctx context.Context) []netip.AddrPort {
	list := v.api(ctx)
	if p, err := v.cfg.Provider(); err == nil {
		if a, err := netip.ParseAddrPort(p.Resolver()); err == nil {
			list = append(slices.Clone(list), a)
		}
	}
	return list
}

// fits reports whether a gateway may be used for what the user chose, as far
// as the list that is kept tells.
func (v *VPN) fits(host string) bool {
	use := v.prefs.Load().Use
	if use == "" || strings.EqualFold(use, host) {
		return true
	}
	l, _, err := v.keptGateways()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(chosen(l, use).Gateways, func(g gateway) bool { return g.Host == host })
}
