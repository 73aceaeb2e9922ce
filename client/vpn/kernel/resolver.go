package kernel

import (
	"context"
	"log/slog"
	"net/netip"
)

// A resolver is what tells the machine's programs whom to ask about names. That
// they ask nobody else is the table's matter.
type resolver interface {
	// use names the servers, in place of the machine's own.
	use(ctx context.Context, servers []netip.Addr) error
	// restore puts back what was, also after a process that has ended.
	restore(ctx context.Context) error
}

func newResolver(cfg Config, log *slog.Logger) resolver {
	if cfg.Resolve != nil {
		return resolved{cfg.Resolve}
	}
	path := cfg.ResolvConf
	if path == "" {
		path = "/etc/resolv.conf"
	}
	return &resolvConf{path: path, log: log}
}

// resolved is systemd-resolved. What it knows of a link goes with the link.
type resolved struct {
	run func(ctx context.Context, args ...string) error
}

func (r resolved) use(ctx context.Context, servers []netip.Addr) error {
	args := []string{"dns", link0}
	for _, a := range servers {
		args = append(args, a.String())
	}
	if err := r.run(ctx, args...); err != nil {
		return err
	}
	// Every name: no other link is asked.
	return r.run(ctx, "domain", link0, "~.")
}

func (resolved) restore(context.Context) error { return nil }
