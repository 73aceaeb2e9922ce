package netcfg

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// fake is a kernel that is text: [state.String].
type fake struct{ is state }

func (f *fake) read(Config) (state, error) {
	s := state{loopback: f.is.loopback, files: maps.Clone(f.is.files)}
	for _, l := range f.is.links {
		l.addresses, l.routes, l.settings = slices.Clone(l.addresses), slices.Clone(l.routes), maps.Clone(l.settings)
		s.links = append(s.links, l)
	}
	return s, nil
}

// do is strict: what a real kernel refuses is an error here.
func (f *fake) do(c change) error {
	if c.do == write {
		f.is.files[c.path] = c.text
		return nil
	}
	if c.link == "lo" {
		f.is.loopback = c.do == raise
		return nil
	}
	at := slices.IndexFunc(f.is.links, func(l link) bool { return l.name == c.link })
	l := &f.is.links[at]
	own := slices.IndexFunc(l.addresses, func(a address) bool { return a.prefix == c.address.prefix })
	switch c.do {
	case set:
		l.settings[c.path] = c.text
	case setMTU:
		l.mtu = c.mtu
	case raise:
		l.up = true
	case lower:
		l.up = false
	case addAddress:
		for _, a := range l.addresses {
			if a.prefix.Addr() == c.address.prefix.Addr() && (own >= 0 || a.prefix.Addr().Is6()) {
				return fmt.Errorf("%v is there already", a)
			}
		}
		l.addresses = append(l.addresses, c.address)
	case keepAddress:
		l.addresses[own] = c.address
	case dropAddress:
		if own < 0 {
			return fmt.Errorf("no address %v", c.address)
		}
		l.addresses = slices.Delete(l.addresses, own, own+1)
	case putRoute:
		if !l.up || c.route.via.IsValid() && len(l.addresses) == 0 {
			return fmt.Errorf("%v: network is unreachable", c.route)
		}
		for i := range f.is.links {
			f.is.links[i].routes = slices.DeleteFunc(f.is.links[i].routes, func(r route) bool { return r.key() == c.route.key() })
		}
		l.routes = append(l.routes, c.route)
	case dropRoute:
		i := slices.Index(l.routes, c.route)
		if i < 0 {
			return fmt.Errorf("no route %v", c.route)
		}
		l.routes = slices.Delete(l.routes, i, i+1)
	}
	return nil
}

// card is one as a system finds it.
func card(name, mac string) link {
	l := link{name: name, mac: mac, mtu: 1500, settings: map[string]string{}}
	for path := range settings(name, false) {
		l.settings[path] = "1"
	}
	return l
}

func newFake(t *testing.T) (*fake, *Net) {
	t.Helper()
	f := &fake{state{files: map[string]string{}, links: []link{
		card("eth0", "52:54:00:00:00:01"), card("eth1", "52:54:00:00:00:02"),
	}}}
	return f, newNet(Config{ResolvConf: "/tmp/resolv.conf", Hosts: "/etc/hosts"}, f)
}
