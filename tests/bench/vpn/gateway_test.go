package vpn_test

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"leap.example/services/gateway"
	"leap.example/services/gateway/netstack"
)

// gatewayAbout is what a gateway's process is told.
type gatewayAbout struct {
	Config gateway.Config
	Name   string // What is behind it.
}

// A gatewayProcess is the role as a process of its own.
type gatewayProcess struct {
	*process
	api netip.AddrPort
}

// gateway starts one: "gateway", "tunnel", or "lease", which has nothing behind it
// and carries nothing.
func (w *world) gateway(name string, change func(*gateway.Config)) *gatewayProcess {
	w.Helper()
	at, port, pool := api, uint16(51820), "10.64.0.0/16"
	if name != "gateway" {
		at, port, pool = netip.AddrPortFrom(api.Addr(), apiPort+1), 51821, "10.65.0.0/16"
	}
	p := w.pki
	cfg := gateway.Config{
		Listen: []string{at.String()}, CertFile: p.file(certFile), KeyFile: p.file(keyFile), ClientCAFile: p.file(clientCAFile),
		WGKeyFile: p.file(wgKeyFile), RunDir: p.file("run-" + name), Entry: []gateway.ConfigEntry{{Addr: at.Addr(), Ports: []uint16{port}}},
		WGListen: []string{netip.AddrPortFrom(at.Addr(), port).String()}, IPv4: netip.MustParsePrefix(pool),
		Requests: 1_000_000, // All users of the scene come from one network.
	}
	if change != nil {
		change(&cfg)
	}
	g := &gatewayProcess{w.start(nil, w.role("gateway", name, gatewayAbout{cfg, name})), at}
	g.until("ready")
	return g
}

func gatewayRole() error {
	return profiled(func() error {
		var a gatewayAbout
		if err := about(&a); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		run, plane, err := a.plane()
		if err != nil {
			return err
		}
		s, err := gateway.New(a.Config, plane, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		if err != nil {
			return err
		}
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return run(ctx) })
		g.Go(func() error { return s.Run(ctx) })
		g.Go(func() error {
			defer cancel()
			end, tick := told(), time.NewTicker(20*time.Millisecond)
			defer tick.Stop()
			for s.Check(ctx) != nil {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return nil
				}
			}
			ready()
			select {
			case <-end:
			case <-ctx.Done():
			}
			return nil
		})
		return g.Wait()
	})
}

// plane returns the data plane and what runs it.
func (a gatewayAbout) plane() (run func(context.Context) error, plane gateway.DataPlane, err error) {
	switch a.Name {
	case "tunnel":
		t := &tunPlane{cfg: a.Config.WithDefaults()}
		return t.run, gateway.DataPlane{Peers: t, Limits: unlimited{}, Flows: t}, nil
	case "lease":
		k := &known{}
		return func(ctx context.Context) error { <-ctx.Done(); return nil }, gateway.DataPlane{Peers: k, Limits: unlimited{}, Flows: k}, nil
	}
	n, err := netstack.New(a.Config)
	if err != nil {
		return nil, plane, err
	}
	return n.Run, n.DataPlane(), nil
}
