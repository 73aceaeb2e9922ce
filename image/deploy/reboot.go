package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"leap.example/appliance/node"
)

// healthyFor is how long a service may take to get healthy after it was started.
const healthyFor = 5 * time.Minute

// Renew restarts the machine, and returns once all of its services are healthy.
func (c *Client) Renew(ctx context.Context) error {
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if err := c.Reboot(ctx); err != nil {
		return err
	}
	return c.untilHealthy(ctx, startsFor, func(s node.Status) error {
		if s.Booted.Equal(before.Booted) {
			return errors.New("it has not restarted yet")
		}
		for _, name := range slices.Sorted(maps.Keys(s.Services)) {
			if err := healthy(s, name); err != nil {
				return err
			}
		}
		if s.Current.Number != before.Current.Number {
			return fmt.Errorf("it has generation %d, and had %d", s.Current.Number, before.Current.Number)
		}
		return nil
	})
}

// LookForUpdates has a node that updates itself do so now. again says that the
// operator has looked at what went wrong: nodes that wait for that go on, and the node
// tries what it has found bad once more.
func (c *Client) LookForUpdates(ctx context.Context, again bool) error {
	ctx, cancel := context.WithTimeout(ctx, taskFor)
	defer cancel()
	q := url.Values{}
	if again {
		q.Set("again", "1")
	}
	body, err := c.do(ctx, http.MethodPost, node.PathUpdate, q, nil)
	if err != nil {
		return err
	}
	return body.Close()
}

// RenewService restarts one of the node's services, and returns once it is healthy.
func (c *Client) RenewService(ctx context.Context, service string) error {
	if err := c.Restart(ctx, service); err != nil {
		return err
	}
	return c.untilHealthy(ctx, healthyFor, func(s node.Status) error { return healthy(s, service) })
}

// healthy says why a service of a node is not healthy.
func healthy(s node.Status, name string) error {
	one, ok := s.Services[name]
	switch {
	case !ok:
		return fmt.Errorf("%s does not run here", name)
	case one.Running && one.Healthy:
		return nil
	case one.Error != "":
		return fmt.Errorf("%s is not healthy: %s", name, one.Error)
	}
	return fmt.Errorf("%s is not healthy yet", name)
}

// untilHealthy asks a node until is has nothing to complain about, and returns what
// it said last if that takes too long.
func (c *Client) untilHealthy(ctx context.Context, within time.Duration, is func(node.Status) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	last := errors.New("it has not answered")
	for {
		s, err := c.Status(ctx)
		if err == nil {
			err = is(s)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		if pause(ctx, pollEvery) {
			return fmt.Errorf("not healthy in time: %w", last)
		}
	}
}
