package deploy_test

import (
	"errors"
	"testing"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/services/protocol/problem"
)

func TestRestart(t *testing.T) {
	w := newWorld(t, "a")
	c := w.client("a", node.RoleRead)
	w.one(w.target("a"), deploy.Good, 1)
	a := w.client("a", node.RoleDeploy)
	if err := a.Restart(t.Context(), "mx"); !errors.Is(err, problem.NotExist) {
		t.Errorf("a service that is not there: %v", err)
	}
	target := w.target("a")
	target.Document.Services = map[string]node.Service{"mx": {}}
	w.one(target, deploy.Good, 2)
	w.agents["a"].End("mx")
	if err := c.Restart(t.Context(), "mx"); !errors.Is(err, problem.Permission) {
		t.Errorf("who may only look restarts a service: %v", err)
	}
	check(t, a.Restart(t.Context(), "mx"))
	if s, err := c.Status(t.Context()); err != nil || !s.Services["mx"].Running {
		t.Errorf("it says %+v, %v", s, err)
	}
}

// TestBeginning: a node that has just started, and starts its services, is what it
// should be.
func TestBeginning(t *testing.T) {
	w := newWorld(t, "a")
	target := w.target("a")
	target.Document.Services = map[string]node.Service{"mx": {}, "dns": {}}
	w.one(target, deploy.Good, 1)
	w.agents["a"].Begin()
	w.one(target, deploy.Unchanged, 1)
	w.agents["a"].End("mx")
	w.one(target, deploy.Unchanged, 1)
	target.Document.Environment = "test"
	if r := w.push(deploy.Options{}, target)[0]; r.Outcome != deploy.Failed {
		t.Errorf("another document meanwhile: %+v", r)
	}
}
