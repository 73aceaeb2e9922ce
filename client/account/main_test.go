package account_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"leap.example/client/account"
	"leap.example/client/control"
	"leap.example/services/daemon"
	"leap.example/tests/stage"
)

// daemonVar makes this test's program a daemon that can be killed: its value
// is the home of the account.
const daemonVar = "LEAP_TEST_DAEMON"

func TestMain(m *testing.M) {
	if dir := os.Getenv(daemonVar); dir != "" {
		os.Exit(beDaemon(dir))
	}
	flag.Parse()
	// They wait for each other more than they compute.
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leap-account-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	started := false
	provider = sync.OnceValues(func() (*stage.Provider, error) {
		if err := stage.Build(dir, "leapd"); err != nil {
			return nil, err
		}
		started = true
		return stage.Start(filepath.Join(dir, "leapd"), filepath.Join(dir, "dev"))
	})
	code := m.Run()
	if started {
		if p, err := provider(); err == nil {
			err = p.Stop()
			if err != nil {
				fmt.Println(err)
				code = 1
			}
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	return code
}

// provider returns the provider of all tests, started by the first.
var provider func() (*stage.Provider, error)

// beDaemon is what "leapc daemon" does.
func beDaemon(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	a := account.New(account.Config{Dir: dir}, log)
	g := &daemon.Group{Log: log, Once: true}
	g.Add("account", a)
	g.Add("control", control.NewServer(filepath.Join(dir, "leapc.sock"), a, nil, nil, log))
	if err := g.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
