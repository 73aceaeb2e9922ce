package relay_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"leap.example/services/relay"
	"leap.example/services/relay/storetest"
)

func TestConfig(t *testing.T) {
	good := start(t).cfg
	for name, change := range map[string]func(*relay.Config){
		"no listener": func(c *relay.Config) { c.ListenTLS, c.ListenSTARTTLS = "", "" },
		"no key":      func(c *relay.Config) { c.QueueKeyFile = "" },
		"domain":      func(c *relay.Config) { c.Domains = []string{"a b"} },
		"selector":    func(c *relay.Config) { c.DKIM = []relay.ConfigDKIM{{KeyFile: "x"}} },
		"mx":          func(c *relay.Config) { c.MX.Address = "host" },
		"retry":       func(c *relay.Config) { c.Retry = []string{"0s"} },
		"life":        func(c *relay.Config) { c.Life = "long" },
		"limit":       func(c *relay.Config) { c.Workers = -1 },
		"memory":      func(c *relay.Config) { c.Memory = 1 },
	} {
		c := good
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, change := range map[string]func(*relay.Config){
		"queue key":   func(c *relay.Config) { c.QueueKeyFile = c.KeyFile },
		"certificate": func(c *relay.Config) { c.CertFile = c.KeyFile },
		"client CA":   func(c *relay.Config) { c.ClientCAFile = c.KeyFile },
		"MX's CA":     func(c *relay.Config) { c.MX.CAFile = "/nonexistent" },
		"DKIM":        func(c *relay.Config) { c.DKIM = []relay.ConfigDKIM{{Selector: "x", KeyFile: c.KeyFile}} },
	} {
		c := good
		change(&c)
		srv := must(relay.New(c, nil, nil, storetest.NewOutbound(), nil))
		if err := srv.Serve(t.Context(), must(net.Listen("tcp", "127.0.0.1:0")), nil); err == nil {
			t.Errorf("%s: serving went well", name)
		}
	}
}

func TestCheck(t *testing.T) {
	s := start(t)
	srv := must(relay.New(s.cfg, nil, nil, s.queue, nil))
	if err := srv.Check(t.Context()); err != nil {
		t.Errorf("well: %v", err)
	}
	s.queue.Set(errors.New("away"))
	if srv.Check(t.Context()) == nil {
		t.Error("the database is away: no error")
	}
	s.queue.Set(nil)
}

// TestRun lets the relay open its own ports.
func TestRun(t *testing.T) {
	s := start(t)
	s.stop()
	a, b := must(net.Listen("tcp", "127.0.0.1:0")), must(net.Listen("tcp", "127.0.0.1:0"))
	s.cfg.ListenTLS, s.cfg.ListenSTARTTLS = a.Addr().String(), b.Addr().String()
	srv := must(relay.New(s.cfg, nil, nil, s.queue, slog.New(slog.DiscardHandler)))
	a.Close()
	if err := srv.Run(t.Context()); err == nil {
		t.Error("Run on a port that is in use: no error")
	}
	b.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- srv.Run(ctx) }()
	for _, address := range []string{s.cfg.ListenTLS, s.cfg.ListenSTARTTLS} {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			c, err := net.Dial("tcp", address)
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestSilentClient: who falls silent has to go.
func TestSilentClient(t *testing.T) {
	s := start(t, func(c *relay.Config) { c.Timeout = "200ms" })
	d := s.dial()
	d.reply() // Told so, or not.
	if got := d.reply(); got[:5] != "error" {
		t.Errorf("got %q, want the end", got)
	}
}
