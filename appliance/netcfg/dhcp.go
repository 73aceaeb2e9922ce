package netcfg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// How often a server is asked.
const (
	tryTimeout   = time.Second // For the first answer; doubled once.
	tries        = 2
	firstPause   = time.Second
	longestPause = time.Minute
)

// Run leases addresses for the cards that shall have them, until ctx is done;
// then it returns nil. What it holds stays with the kernel until the leases end.
// To be called once.
func (n *Net) Run(ctx context.Context) error {
	running := map[string]context.CancelFunc{}
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		shall := n.toLease()
		for card, stop := range running {
			if !shall[card] {
				stop()
				delete(running, card)
				n.forget(card)
			}
		}
		for card := range shall {
			if running[card] == nil {
				own, stop := context.WithCancel(ctx)
				running[card] = stop
				wg.Go(func() { n.keepLease(own, card) })
			}
		}
		select {
		case <-ctx.Done():
			for _, stop := range running {
				stop()
			}
			return nil
		case <-n.changed:
		}
	}
}

// toLease are the cards that need leases.
func (n *Net) toLease() map[string]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	cards := map[string]bool{}
	if !n.applied {
		return cards
	}
	have, err := n.kernel.read(n.cfg)
	if err != nil {
		n.cfg.Log.Error("network", "error", err)
		return cards
	}
	for _, i := range n.network.Interfaces {
		if l, err := find(have.links, i); err == nil && i.DHCP {
			cards[l.name] = true
		}
	}
	return cards
}

func (n *Net) forget(card string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.leases, card)
	delete(n.trouble, card)
}

// keepLease holds a lease for a card until ctx is done.
func (n *Net) keepLease(ctx context.Context, card string) {
	var held *nclient4.Lease // Of until, both nil and zero without one.
	var until time.Time
	pause := firstPause
	for {
		got, l, err := n.ask(ctx, card, held)
		now := time.Now()
		var nak *nclient4.ErrNak
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			held, until, pause = got, l.until, firstPause
			n.hold(ctx, card, l, "")
			if !rest(ctx, l.renew.Sub(now)) {
				return
			}
			continue
		case held != nil && (errors.As(err, &nak) || !now.Before(until)):
			held, until = nil, time.Time{}
			n.hold(ctx, card, lease{}, "the lease is lost: "+err.Error())
		default:
			n.complain(ctx, card, "no lease yet or not renewed: "+err.Error())
		}
		wait := pause/2 + rand.N(pause)
		if held != nil {
			wait = min(wait, time.Until(until))
		}
		if !rest(ctx, wait) {
			return
		}
		pause = min(2*pause, longestPause)
	}
}

// rest waits, and reports whether ctx lives.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// askServer asks for a lease, or to renew the one that is held. The socket is open for
// so long only, since it sees all packets of the card.
func askServer(ctx context.Context, card string, held *nclient4.Lease) (*nclient4.Lease, lease, error) {
	c, err := nclient4.New(card, nclient4.WithTimeout(tryTimeout), nclient4.WithRetry(tries))
	if err != nil {
		return nil, lease{}, err
	}
	var got *nclient4.Lease
	if held == nil {
		got, err = c.Request(ctx, asked())
	} else {
		got, err = c.Renew(ctx, held, asked())
	}
	err = errors.Join(err, c.Close())
	if err != nil {
		return nil, lease{}, err
	}
	l, err := parseLease(got.ACK, got.CreationTime)
	return got, l, err
}

// hold takes a lease, or with the zero lease gives it up, and changes the
// network accordingly.
func (n *Net) hold(ctx context.Context, card string, l lease, trouble string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	n.leases[card] = tenancy{asked: true, lease: l}
	delete(n.trouble, card)
	done, err := n.converge()
	if trouble != "" {
		n.trouble[card] = trouble
	}
	if err != nil {
		n.trouble[card] = fmt.Sprintf("the lease cannot be used: %v", err)
	}
	n.cfg.Log.Info("dhcp", "card", card, "lease", l.prefix, "changed", len(done), "trouble", n.trouble[card])
}

func (n *Net) complain(ctx context.Context, card, trouble string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ctx.Err() != nil || n.trouble[card] == trouble {
		return
	}
	n.trouble[card] = trouble
	n.cfg.Log.Warn("dhcp", "card", card, "trouble", trouble)
}
