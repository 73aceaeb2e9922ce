package mx_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"leap.example/services/mx"
)

func TestConfig(t *testing.T) {
	good := start(t).cfg
	for name, change := range map[string]func(*mx.Config){
		"no listen":      func(c *mx.Config) { c.Listen = "" },
		"domain":         func(c *mx.Config) { c.Domains = []string{"Example.org"} },
		"cert alone":     func(c *mx.Config) { c.KeyFile = "" },
		"resolver":       func(c *mx.Config) { c.Resolver = "127.0.0.1" },
		"foreign alias":  func(c *mx.Config) { c.Aliases = map[string][]string{"a@example.org": {"b@example.net"}} },
		"timeout":        func(c *mx.Config) { c.Timeout = "5" },
		"negative delay": func(c *mx.Config) { c.GreetingDelay = "-1s" },
		"memory":         func(c *mx.Config) { c.Memory = 1 << 20 },
		"limit":          func(c *mx.Config) { c.PeerRate = -1 },
	} {
		c := good
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, change := range map[string]func(*mx.Config){
		"signing key": func(c *mx.Config) { c.SigningKeyFile = c.QueueSecretFile },
		"secret":      func(c *mx.Config) { c.QueueSecretFile = c.KeyFile },
		"certificate": func(c *mx.Config) { c.CertFile = c.KeyFile },
		"no file":     func(c *mx.Config) { c.QueueSecretFile = "/nonexistent" },
	} {
		c := good
		change(&c)
		srv, err := mx.New(c, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Serve(t.Context(), ln); err == nil {
			t.Errorf("%s: serving went well", name)
		}
	}
}

// TestRun lets the server open its own port, twice.
func TestRun(t *testing.T) {
	s := start(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.Listen, s.addr = ln.Addr().String(), ln.Addr().String()
	srv, err := mx.New(s.cfg, s.ids, s.queue, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Run(t.Context()); err == nil {
		t.Error("Run on a port that is in use: no error")
	}
	ln.Close()
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- srv.Run(ctx) }()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			c, err := net.Dial("tcp", s.addr)
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func TestCheck(t *testing.T) {
	s := start(t)
	srv, err := mx.New(s.cfg, s.ids, s.queue, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Check(t.Context()); err != nil {
		t.Errorf("well: %v", err)
	}
	s.ids.Set(fmt.Errorf("away"))
	if srv.Check(t.Context()) == nil {
		t.Error("the database is away: no error")
	}
}
