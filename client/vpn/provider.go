package vpn

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"leap.example/client/session"
	"leap.example/services/protocol/problem"
)

// resolveTimeout bounds the question for the API's name: it is asked before
// traffic is blocked, while the user waits.
const resolveTimeout = 3 * time.Second

// api returns the addresses of the provider's API: those that its name has
// now, or had when it was last resolved.
func (v *VPN) api(ctx context.Context) []netip.AddrPort {
	kept := v.prefs.Load().API
	addrs, err := v.resolve(ctx)
	if err != nil || len(addrs) == 0 {
		return kept
	}
	if !slices.Equal(addrs, kept) {
		err := v.change(func(s *settings) { s.API = addrs })
		if err != nil {
			v.log.Warn("the addresses of the provider are not kept", "err", err)
		}
	}
	return addrs
}

// resolve asks for the API's addresses.
func (v *VPN) resolve(ctx context.Context) ([]netip.AddrPort, error) {
	p, err := v.cfg.Provider()
	if err != nil {
		return nil, err
	}
	hostport, err := p.API()
	if err != nil {
		return nil, err
	}
	host, portText, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, problem.Invalid.Errorf("malformed address of the provider's API")
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, problem.Invalid.Errorf("malformed address of the provider's API")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), uint16(port))}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if p.Resolver() != "" {
			address = p.Resolver()
		}
		if a, err := netip.ParseAddrPort(address); err == nil {
			return v.dial(ctx, network, a)
		}
		return nil, problem.Invalid.Errorf("the resolver is no ip:port")
	}}
	found, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, problem.Unavailable.Errorf("the name of the provider's API cannot be resolved: check the network")
	}
	var addrs []netip.AddrPort
	for _, a := range found[:min(len(found), maxAPI)] {
		addrs = append(addrs, netip.AddrPortFrom(a.Unmap(), uint16(port)))
	}
	slices.SortFunc(addrs, netip.AddrPort.Compare)
	return addrs, nil
}

// maxAPI is how many addresses of the API are kept.
const maxAPI = 8

// door returns the provider's API by connections beside the tunnel, to the
// addresses that are kept.
func (v *VPN) door() (*session.Door, error) {
	p, err := v.cfg.Provider()
	if err != nil {
		return nil, err
	}
	return p.Door(func(ctx context.Context, network, _ string) (c net.Conn, err error) {
		err = problem.Unavailable.Errorf("the address of the provider's API is not known: connect once while traffic is open")
		for _, a := range v.prefs.Load().API {
			if c, err = v.dial(ctx, network, a); err == nil {
				return c, nil
			}
		}
		return nil, err
	}), nil
}

// change stores changed settings.
func (v *VPN) change(f func(*settings)) error {
	v.disk.Lock()
	defer v.disk.Unlock()
	s := *v.prefs.Load()
	f(&s)
	s.Version = fileVersion
	if err := save(v.cfg.Dir, settingsFile, s); err != nil {
		return err
	}
	v.prefs.Store(&s)
	return nil
}
