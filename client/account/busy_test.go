package account_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"leap.example/client/control"
	"leap.example/services/protocol/problem"
)

// TestLockWhileBusy locks and unlocks an account under the hands of requests:
// each is done, or says that the account is locked.
func TestLockWhileBusy(t *testing.T) {
	w := newWorld(t)
	d, _ := w.member(t, "busy")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for what, f := range map[string]func() error{
		"status": func() error {
			if st := d.Status(ctx); st.Problem != "" && ctx.Err() == nil {
				return errors.New(st.Problem)
			}
			return nil
		},
		"keys":  func() error { _, err := d.Keys(ctx); return err },
		"mail":  func() error { _, err := d.Mail(ctx); return err },
		"sync":  func() error { _, err := d.Sync(ctx); return err },
		"find":  func() error { _, err := d.FindKey(ctx, "nobody@demo.example"); return err },
		"check": func() error { return d.Check(ctx) },
	} {
		wg.Go(func() {
			for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) { // It is not a benchmark.
				err := f()
				if err != nil && ctx.Err() == nil && !errors.Is(err, problem.Unauthenticated) && !errors.Is(err, problem.NotExist) {
					t.Errorf("%s: %v", what, err)
					return
				}
			}
		})
	}
	for range 2 {
		check(t, d.Lock(t.Context()))
		check(t, d.unlock(t, password))
	}
	cancel()
	wg.Wait()
	d.state(t, control.StateOnline)
}

// TestStopping checks that nothing is unlocked after the daemon has ended, and
// that waiting for one's turn ends with the request.
func TestStopping(t *testing.T) {
	w := newWorld(t)
	d, _ := w.member(t, "stop")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 { // Whether it gets its turn at once is up to chance.
		if err := d.Login(gone, control.Credentials{Password: password}); err == nil {
			t.Log("the login was done before the request ended")
		}
	}
	d.stop()
	d.state(t, control.StateLocked)
	is(t, "login after the end", d.unlock(t, password), problem.Unavailable, "stopping")
	is(t, "lock after the end", d.Lock(t.Context()), problem.Unavailable, "stopping")
	d.state(t, control.StateLocked)
}
