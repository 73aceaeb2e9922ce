package lab

import (
	"context"
	"slices"
	"time"

	"leap.example/appliance/efi"
	"leap.example/appliance/node"
	"leap.example/image/uki"
)

// Of is the release of this source under a version, not built yet. Tests of
// packages two levels below the module's directory may use it.
func Of(version string) uki.Options {
	return uki.Options{
		Release: efi.Release{
			Version: version, OldestSchema: node.OldestSchema, NewestSchema: node.Schema, LeastRAM: 256,
			Built: time.Now().UTC().Truncate(24 * time.Hour),
		},
		Source: "../..", Services: slices.Concat([]string{"agent"}, node.Services()),
	}
}

// Release builds the release of this source.
func Release(ctx context.Context) (*uki.Build, error) { return uki.Make(ctx, Of("0.0.1")) }
