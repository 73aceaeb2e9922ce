package deploy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/services/protocol/problem"
)

// TestRenew restarts a machine and a service, and waits until they are well.
func TestRenew(t *testing.T) {
	w := newWorld(t, "a")
	c := w.client("a", node.RoleDeploy)
	target := w.target("a")
	target.Document.Services = map[string]node.Service{"mx": {}}
	w.one(target, deploy.Good, 1)
	before, err := c.Status(t.Context())
	check(t, err)
	check(t, c.Renew(t.Context()))
	if s, err := c.Status(t.Context()); err != nil || s.Booted.Equal(before.Booted) {
		t.Errorf("it was not restarted: %+v, %v", s, err)
	}
	w.agents["a"].End("mx")
	check(t, c.RenewService(t.Context(), "mx"))
	if err := c.RenewService(t.Context(), "dns"); !errors.Is(err, problem.NotExist) {
		t.Errorf("a service that is not there: %v", err)
	}
	if err := w.client("a", node.RoleRead).Renew(t.Context()); !errors.Is(err, problem.Permission) {
		t.Errorf("who may only look: %v", err)
	}
	w.agents["a"].End("mx")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Renew(ctx); err == nil || !strings.Contains(err.Error(), "mx is not healthy: ended: status 125") {
		t.Errorf("with a service that has ended: %v", err)
	}
}
