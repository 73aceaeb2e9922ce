package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"leap.example/appliance/dev"
	"leap.example/services/couch"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/srp"
)

const (
	adminLogin = "admin" // A reserved name: nobody else can have it.
	inviteUses = 1000
)

// A seed puts into the database what a developer's provider has from the
// start: an invite code and an administrator. It tries until it succeeds.
type seed struct {
	p    dev.Provider
	db   *couch.DB
	last atomic.Pointer[error] // Of the last try; nil before the first, *nil when it is done.
}

func newSeed(p dev.Provider, log *slog.Logger) (*seed, error) {
	db, err := couch.Open(devCouch(p, "admin"), log)
	return &seed{p: p, db: db}, err
}

// Run implements daemon.Service.
func (s *seed) Run(ctx context.Context) error {
	for {
		try, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := s.plant(try)
		cancel()
		s.last.Store(&err)
		if err == nil {
			<-ctx.Done()
			return s.db.Close()
		}
		select {
		case <-ctx.Done():
			return s.db.Close()
		case <-time.After(100 * time.Millisecond): // The database is starting.
		}
	}
}

// Check implements daemon.Checker.
func (s *seed) Check(context.Context) error {
	last := s.last.Load()
	if last == nil {
		return errors.New("the invite code and the administrator are not in the database yet")
	}
	return *last
}

func (s *seed) plant(ctx context.Context) error {
	code, err := os.ReadFile(s.p.Path("invite"))
	if err != nil {
		return err
	}
	if err := s.db.Invites().Create(ctx, string(code), inviteUses, time.Time{}); err != nil && !errors.Is(err, problem.Exist) {
		return fmt.Errorf("invite code: %w", err)
	}
	return s.admin(ctx)
}

// admin makes the account of the administrator, whose password is in a file.
func (s *seed) admin(ctx context.Context) error {
	if _, err := s.db.Users().ByLogin(ctx, adminLogin); !errors.Is(err, problem.NotExist) {
		return err
	}
	password, err := os.ReadFile(s.p.Path("admin.password"))
	if err != nil {
		return err
	}
	// The same id and salt each time: a crash between the two documents is
	// mended by the next start.
	id := hex.EncodeToString(srp.FakeSalt(password, "id"))
	salt := srp.FakeSalt(password, "salt")
	kdf := srp.DefaultKDF()
	secret, err := srp.Derive(srp.SRP3072, adminLogin, strings.TrimSpace(string(password)), salt, kdf)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	address := adminLogin + "@" + s.p.Domain
	err = s.db.Identities().Create(ctx, &record.Identity{
		UserID: id, Address: address, Destination: address, WKD: nick.WKDHash(adminLogin), Enabled: true, CreatedAt: now,
	})
	if err != nil && !errors.Is(err, problem.Exist) {
		return fmt.Errorf("administrator's address: %w", err)
	}
	return s.db.Users().Create(ctx, &record.User{
		ID: id, Login: adminLogin, Suite: srp.SRP3072, KDF: &kdf, PasswordSalt: hex.EncodeToString(salt),
		PasswordVerifier: secret.Verifier(), Enabled: true, ServiceLevel: "1", CreatedAt: now, UpdatedAt: now,
	})
}
