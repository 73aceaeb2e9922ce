package netstack

import (
	"context"
	"net/netip"
	"sync"
)

// Most flows of one client's address, and of all. Those of UDP are fewer: each has
// two buffers of a datagram for a minute, 256 MiB in all.
const (
	maxClientFlows = 2048
	maxFlows       = 1 << 16
	maxUDPFlows    = 1 << 14
	maxDatagram    = 8 << 10 // Bytes, of what a flow of UDP carries. Longer ones are lost.
)

// flows are the connections that are carried now, by client.
type flows struct {
	mu  sync.Mutex // Guards what follows.
	all map[netip.Addr]map[*flow]bool
	n   int // Of all.
	udp int // Of UDP.
	wg  sync.WaitGroup
}

// A flow is one connection.
type flow struct{ cancel context.CancelFunc }

// open lets flows begin.
func (f *flows) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = map[netip.Addr]map[*flow]bool{}
}

// close ends all flows and waits for them; none begins any more.
func (f *flows) close() {
	f.mu.Lock()
	for _, flows := range f.all {
		for fl := range flows {
			fl.cancel()
		}
	}
	f.all = nil
	f.mu.Unlock()
	f.wg.Wait()
}

// begin counts a new flow of a client, of UDP or of TCP. It lives as long as ctx,
// and end takes it off the books. It is not ok if there are too many.
func (f *flows) begin(client netip.Addr, udp bool) (ctx context.Context, end context.CancelFunc, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil || f.n >= maxFlows || len(f.all[client]) >= maxClientFlows || udp && f.udp >= maxUDPFlows {
		return nil, nil, false
	}
	ctx, cancel := context.WithCancel(context.Background())
	fl := &flow{cancel}
	if f.all[client] == nil {
		f.all[client] = map[*flow]bool{}
	}
	f.all[client][fl] = true
	f.n++
	if udp {
		f.udp++
	}
	f.wg.Add(1)
	return ctx, func() {
		cancel()
		f.mu.Lock()
		defer f.mu.Unlock()
		if delete(f.all[client], fl); len(f.all[client]) == 0 {
			delete(f.all, client)
		}
		f.n--
		if udp {
			f.udp--
		}
		f.wg.Done()
	}, true
}

// forget ends the flows of clients.
func (f *flows) forget(clients []netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range clients {
		for fl := range f.all[c] {
			fl.cancel()
		}
	}
}
