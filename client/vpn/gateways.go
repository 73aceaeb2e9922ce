package vpn

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"leap.example/client/vpn/machine"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

type gateway = provider.Gateway

// useAuto is the choice of the nearest gateway.
const useAuto = "auto"

const (
	measureTimeout = 1500 * time.Millisecond // Of the distance of a gateway.
	alike          = 20 * time.Millisecond   // Distances that count as one.
	crowded        = 6                       // A load that is worse than a long way.
)

// gateways returns the list, at most maxAge old; an older one when the
// provider cannot be asked, unless maxAge is 0.
func (v *VPN) gateways(ctx context.Context, maxAge time.Duration) (provider.GatewayList, time.Time, error) {
	l, at, err := v.keptGateways()
	kept := err == nil
	if kept && time.Since(at) < maxAge {
		return l, at, nil
	}
	door, err := v.door()
	if err != nil {
		return l, at, err
	}
	defer door.Close()
	body, err := door.Gateways(ctx, v.prefs.Load().Invite)
	switch {
	case err != nil && kept && maxAge > 0:
		return l, at, nil
	case problem.KindOf(err) == problem.NotExist && err != nil:
		return l, at, problem.NotExist.Errorf("the provider has no VPN")
	case err != nil:
		return l, at, err
	}
	v.disk.Lock()
	defer v.disk.Unlock()
	at = time.Now()
	if err := save(v.cfg.Dir, gatewaysFile, gatewayFile{fileVersion, v.domain(), at, body}); err != nil {
		return l, at, err
	}
	l, err = provider.ParseGateways(body)
	return l, at, err
}

// keptGateways returns the list on the disk and when it was fetched.
func (v *VPN) keptGateways() (provider.GatewayList, time.Time, error) {
	v.disk.Lock()
	defer v.disk.Unlock()
	var f gatewayFile
	if err := load(v.cfg.Dir, gatewaysFile, &f, &f.Version); err != nil {
		return provider.GatewayList{}, time.Time{}, err
	}
	if f.Domain != v.domain() {
		return provider.GatewayList{}, time.Time{}, problem.NotExist.Errorf("the list of gateways is that of another provider")
	}
	l, err := provider.ParseGateways(json.RawMessage(f.List))
	return l, f.Fetched, err
}

// chosen leaves the gateways that a choice names: by host, by name, by the key
// of a location, or by country.
func chosen(l provider.GatewayList, use string) provider.GatewayList {
	if use == "" {
		return l
	}
	return l.Only(func(g gateway) bool {
		return strings.EqualFold(use, g.Host) || strings.EqualFold(use, g.Name) || strings.EqualFold(use, g.Location) ||
			strings.EqualFold(use, l.Locations[g.Location].CountryCode)
	})
}

// sorted brings a list into the order of preference as far as it is known
// without measuring: health, time zone, load (vpn.md 4).
func sorted(l provider.GatewayList) provider.GatewayList {
	_, offset := time.Now().Zone()
	hours := float64(offset) / 3600
	l.Sort(provider.GatewayWish{Timezone: &hours})
	return l
}

// candidates are the gateways to try, best first; one to avoid is the last.
// measured: their order needs no look at the distance.
func (v *VPN) candidates(ctx context.Context, avoid string) (list []machine.Gateway, measured bool, err error) {
	all, _, err := v.gateways(ctx, daily)
	if err != nil {
		return nil, false, err
	}
	use := v.prefs.Load().Use
	l := sorted(chosen(all, use))
	if len(l.Gateways) == 0 && use != "" {
		return nil, false, problem.NotExist.Errorf(`no gateway is called, or is at, %q any more: see "leapc vpn gateways", or "leapc vpn use auto"`, use)
	}
	slices.SortStableFunc(l.Gateways, func(a, b gateway) int {
		return cmp.Compare(b2i(a.Host == avoid), b2i(b.Host == avoid))
	})
	for _, g := range l.Gateways {
		list = append(list, machineGateway(g))
	}
	return list, len(list) < 2 || avoid != "", nil // Who has just lost a gateway wants another, not the best.
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func machineGateway(g gateway) machine.Gateway {
	m := machine.Gateway{Name: g.Host}
	for _, port := range g.LeasePorts {
		for _, a := range g.Addresses {
			m.Lease = append(m.Lease, netip.AddrPortFrom(a, port))
		}
	}
	m.Lease = m.Lease[:min(len(m.Lease), maxLeasePorts)]
	return m
}

// maxLeasePorts is how many addresses of a gateway's lease API are tried: of
// all candidates together the policy lets them be reached.
const maxLeasePorts = 6

// nearest measures how far gateways are by connecting to their lease ports,
// and puts those that answer first, the nearest first; distances that are
// alike are decided by the order before, and so by load.
func (v *VPN) nearest(ctx context.Context, list []machine.Gateway) []machine.Gateway {
	far := v.measure(ctx, list)
	loads := map[string]int{}
	if l, _, err := v.keptGateways(); err == nil {
		for _, g := range l.Gateways {
			loads[g.Host] = g.Load
		}
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b machine.Gateway) int {
		return cmp.Or(
			cmp.Compare(b2i(loads[a.Name] >= crowded), b2i(loads[b.Name] >= crowded)),
			cmp.Compare(far[a.Name]/alike, far[b.Name]/alike),
			cmp.Compare(loads[a.Name], loads[b.Name]),
		)
	})
	return list
}

// unreachable is the distance of who does not answer.
const unreachable = time.Duration(math.MaxInt64)

// measure returns how long it takes to connect, by gateway.
func (v *VPN) measure(ctx context.Context, list []machine.Gateway) map[string]time.Duration {
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	far := map[string]time.Duration{}
	for _, g := range list {
		wg.Go(func() {
			d := unreachable
			for _, a := range g.Lease {
				begin := time.Now()
				c, err := v.dial(ctx, "tcp", a)
				if err != nil {
					continue
				}
				d = time.Since(begin)
				c.Close()
				break
			}
			mu.Lock()
			defer mu.Unlock()
			far[g.Name] = d
		})
	}
	wg.Wait()
	return far
}
