package play

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"leap.example/client/control"
)

// A Gateway is one of the VPN, as the story can tell it from others and end it.
type Gateway struct {
	Host   string
	Egress netip.Addr   // From which its users' traffic comes.
	Kill   func() error // It may come back by itself.
}

// A Tunnel is what the story needs to know of the VPN.
type Tunnel struct {
	Gateways []Gateway
	// Called is by which address users of the VPN reach 127.0.0.1 of this
	// machine.
	Called netip.Addr
}

// Surf returns the steps by which alice uses encrypted internet.
func (s *Story) Surf() []Step {
	return []Step{
		{"alice's request leaves from the first gateway", s.aliceSurfs},
		{"that gateway is killed; it leaves from the second", s.gatewayDies},
		{"alice disconnects, and her proxy lets nothing out", s.aliceDisconnects},
	}
}

// lab is a server somewhere in the internet: it says where a request comes
// from.
func (s *Story) lab() (base string, end func()) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		io.WriteString(w, host) // A broken connection has nowhere to report to.
	}))
	return strings.Replace(srv.URL, "127.0.0.1", s.At.Tunnel.Called.String(), 1), srv.Close
}

// origin asks the lab, through alice's proxy, where she comes from.
func (s *Story) origin() (netip.Addr, error) {
	base, end := s.lab()
	defer end()
	t := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "socks5", Host: s.proxy})}
	defer t.CloseIdleConnections()
	hc := &http.Client{Transport: t, Timeout: 10 * time.Second}
	resp, err := hc.Get(base)
	if err != nil {
		return netip.Addr{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 100))
	if err != nil {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(string(body))
}

// gateway returns the one that alice uses.
func (s *Story) gateway() (Gateway, error) {
	out, err := s.alice.leapc("", "vpn", "status")
	if err != nil {
		return Gateway{}, err
	}
	st, err := decode[control.VPNStatus](out)
	if err != nil {
		return Gateway{}, err
	}
	for _, g := range s.At.Tunnel.Gateways {
		if g.Host == st.Gateway {
			return g, nil
		}
	}
	return Gateway{}, fmt.Errorf("the client uses the gateway %q", st.Gateway)
}

func (s *Story) aliceSurfs() error {
	first := s.At.Tunnel.Gateways[0]
	// A provider that has just started has to make certificates first.
	var st control.VPNStatus
	err := s.Until("alice is connected", 2*time.Minute, func() error {
		out, err := s.alice.leapc("", "vpn", "up", "--use", first.Host, "--proxy", "127.0.0.1:0")
		if err != nil {
			return err
		}
		st, err = decode[control.VPNStatus](out)
		return err
	})
	if err != nil {
		return err
	}
	if st.State != control.VPNConnected || !st.PostQuantum || st.Proxy == "" {
		return fmt.Errorf("it is %+v", st)
	}
	s.proxy = st.Proxy
	if _, err := s.alice.leapc("", "vpn", "use", "auto"); err != nil {
		return err
	}
	return s.Until("her request arrives from its gateway", 30*time.Second, func() error {
		g, err := s.gateway()
		if err != nil {
			return err
		}
		from, err := s.origin()
		if err == nil && from != g.Egress {
			err = fmt.Errorf("it came from %v, not from %v", from, g.Egress)
		}
		return err
	})
}

// gatewayDies keeps the gateway dead until another one serves.
func (s *Story) gatewayDies() error {
	dead, err := s.gateway()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(s.Ctx)
	done := make(chan struct{})
	go func() { // It is started again whenever it dies.
		defer close(done)
		for ctx.Err() == nil {
			if err := dead.Kill(); err != nil {
				cancel(err)
			}
			time.Sleep(20 * time.Millisecond) // Between deaths only.
		}
	}()
	err = s.Until("traffic resumes", time.Minute, func() error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		from, err := s.origin()
		if err == nil && !slices.ContainsFunc(s.At.Tunnel.Gateways, func(g Gateway) bool { return g.Host != dead.Host && g.Egress == from }) {
			err = fmt.Errorf("it comes from %v, which is not another gateway", from)
		}
		return err
	})
	cancel(nil)
	<-done
	return err
}

func (s *Story) aliceDisconnects() error {
	if _, err := s.alice.leapc("", "vpn", "down"); err != nil {
		return err
	}
	if from, err := s.origin(); err == nil {
		return fmt.Errorf("her request came from %v", from)
	}
	return nil
}
