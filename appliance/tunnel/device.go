package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"leap.example/services/protocol/lease"
)

// Config is what [Device.Up] makes of a device.
type Config struct {
	PrivateKey lease.Key      // Required.
	Port       uint16         // UDP. Required.
	Addresses  []netip.Prefix // The gateway's own, with the length of its users' network. Required.
	MTU        int            // Of the packets inside, in bytes. Required.
}

// A Device is that of a gateway's users, [node.TunnelDevice]. Its methods may be
// called at any time from any goroutine, and need CAP_NET_ADMIN.
type Device struct{ kernel kernel }

// New returns the device as it is, and touches nothing.
func New() *Device { return &Device{linux{}} }

// A Plan is a list of changes, as text. None: all is as it shall be.
type Plan []string

// Up makes the device what cfg says, and returns what it did. Its peers
// stay. After an error the device may be half made; Up goes on from there.
func (d *Device) Up(ctx context.Context, cfg Config) (Plan, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	want := cfg.state()
	changes, err := d.changes(want)
	if err != nil {
		return nil, err
	}
	var done Plan
	for _, c := range changes {
		if err := d.kernel.do(c, cfg); err != nil {
			return done, fmt.Errorf("%v: %w", c, err)
		}
		done = append(done, c.String())
	}
	if len(changes) > 0 { // Seen is believed.
		if changes, err = d.changes(want); err == nil && len(changes) > 0 {
			err = fmt.Errorf("the kernel has not taken: %v", changes)
		}
	}
	return done, err
}

func (d *Device) changes(want state) ([]change, error) {
	have, err := d.kernel.read()
	if err != nil {
		return nil, fmt.Errorf("reading the tunnel's device: %w", err)
	}
	return plan(have, want), nil
}

// ErrUnsupported is wrapped by the error of [Device.Up] on a kernel without
// WireGuard.
var ErrUnsupported = errors.New("the kernel has no WireGuard")
