package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"

	"leap.example/appliance/dev"
	"leap.example/services/bigcouch"
	"leap.example/services/daemon"
)

// devGroup makes the files of p where they are missing and returns all of its
// services as one group.
func devGroup(ctx context.Context, p dev.Provider, log *slog.Logger, out io.Writer) (*daemon.Group, error) {
	if last := 1<<16 - 1 - dev.PortHealth; p.Base < 1 || p.Base > last {
		return nil, fmt.Errorf("--base-port %d: choose one from 1 to %d", p.Base, last)
	}
	// Its certificates and documents carry the domain.
	if e, err := dev.ReadEndpoints(p.Dir); err == nil && e.Domain != p.Domain {
		return nil, fmt.Errorf("the provider under %s is %s: choose --domain %s or another --dir", p.Dir, e.Domain, e.Domain)
	}
	if err := p.Free(); err != nil {
		return nil, err
	}
	if err := p.Ensure(); err != nil {
		return nil, fmt.Errorf("making the provider under %s: %w", p.Dir, err)
	}
	// Providers of older releases have a database in the clear.
	if files, err := bigcouch.Seal(ctx, devDatabase(p)); err != nil {
		return nil, fmt.Errorf("sealing the database under %s: %w", p.Dir, err)
	} else if files > 0 {
		log.Info("database sealed", "files", files)
	}
	configs, err := devConfigs(p)
	if err != nil {
		return nil, err
	}
	g := &daemon.Group{Log: log}
	g.AddHealth(p.Addr(dev.PortHealth))
	if err := addDatabases(g, p, log, out); err != nil {
		return nil, err
	}
	if err := addGateways(g, p, log, out); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		data, err := json.Marshal(configs[name])
		if err != nil {
			return nil, fmt.Errorf("configuration of %s: %w", name, err)
		}
		c, err := daemon.ParseConfig(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		build := services()[name]
		if name == "gateway" { // Without root.
			build = buildUserspaceGateway
		}
		s, err := daemon.Build(c, build, log.With("service", name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		g.Add(name, s)
	}
	seed, err := newSeed(p, log)
	if err != nil {
		return nil, err
	}
	g.Add("seed", seed)
	return g, nil
}
