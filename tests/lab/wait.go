package lab

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/qemu/vm"
)

const (
	// Patience is for one step on a machine that is busy and has no KVM.
	Patience = 10 * time.Minute
	// tellEvery is how often what takes long says why.
	tellEvery = time.Minute
)

// Step does a step, and tells how long it took.
func Step(t testing.TB, what string, do func()) {
	t.Helper()
	begin := time.Now()
	do()
	t.Logf("%6.1f s  %s", time.Since(begin).Seconds(), what)
}

// Until does something until it succeeds. What takes long says why.
func Until(t testing.TB, what string, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	tell := time.Now().Add(tellEvery)
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		if time.Now().After(tell) {
			t.Logf("           %s: not yet: %v", what, err)
			tell = time.Now().Add(tellEvery)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not in %v: %v", what, Patience, err)
		}
	}
}

// Status waits until the status of a node, which is that machine, is as it should
// be; wrong says what is not.
func Status(t testing.TB, name string, client *deploy.Client, machine *vm.Machine, wrong func(node.Status) error) (s node.Status) {
	t.Helper()
	Until(t, name+" is as it should be", func(ctx context.Context) (err error) {
		select {
		case <-machine.Done():
			t.Fatalf("the machine of %s has ended", name)
		default:
		}
		if s, err = client.Status(ctx); err != nil {
			return err
		}
		return wrong(s)
	})
	return s
}

// Healthy is an error unless all these services are healthy.
func Healthy(s node.Status, services []string) error {
	var errs []error
	for _, name := range services {
		if one, ok := s.Services[name]; !ok || !one.Healthy {
			errs = append(errs, fmt.Errorf("%s: %+v", name, one))
		}
	}
	return errors.Join(errs...)
}
