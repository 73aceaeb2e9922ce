package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// fill keeps the pool full until ctx is done. It alone makes keys, one at a
// time.
func (s *Server) fill(ctx context.Context, a *authority) {
	var b backoff
	for ctx.Err() == nil {
		full, err := s.fillOne(ctx, a)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.fillErr = err
		s.mu.Unlock()
		switch {
		case err != nil:
			wait := b.next()
			s.log.Warn("filling the pool failed", "err", err, "retry_in", wait)
			sleep(ctx, wait)
		case full:
			b = backoff{}
			select {
			case <-ctx.Done():
			case <-s.wake:
			}
		default:
			b = backoff{}
		}
	}
}

// fillOne adds one entry, or reports that the pool is full.
func (s *Server) fillOne(ctx context.Context, a *authority) (full bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	for _, plan := range s.cfg.Plans {
		n, err := s.store.Count(ctx, plan)
		if err != nil {
			return false, err
		}
		if n >= s.cfg.PoolSize {
			continue
		}
		entry, err := s.newEntry(a, plan)
		if err != nil {
			return false, err
		}
		return false, s.store.Add(ctx, entry)
	}
	return true, nil
}

// newEntry makes a key and a certificate that tell nothing about who will use
// them.
func (s *Server) newEntry(a *authority, plan lease.Plan) (record.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return record.Certificate{}, fmt.Errorf("making a key: %w", err)
	}
	text, err := certs.EncodeKey(key)
	if err != nil {
		return record.Certificate{}, fmt.Errorf("encoding a key: %w", err)
	}
	tmpl, err := certs.VPNClient(plan, rand.Reader, s.vpnLife, time.Now())
	if err != nil {
		return record.Certificate{}, err
	}
	cert, err := a.sign(tmpl, key.Public())
	if err != nil {
		return record.Certificate{}, fmt.Errorf("signing: %w", err)
	}
	return record.Certificate{
		ID:         newID(),
		Type:       "Certificate",
		Plan:       plan,
		Key:        string(text),
		Cert:       cert,
		ValidUntil: tmpl.NotAfter,
	}, nil
}

// sweep removes old entries from the pool, a dozen times in half a life, until
// ctx is done.
func (s *Server) sweep(ctx context.Context) {
	sleep(ctx, time.Minute) // Not each time that a process starts and fails.
	for ctx.Err() == nil {
		if err := s.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("looking for old entries failed", "err", err)
		}
		sleep(ctx, s.vpnLife/24)
	}
}

// sweepOnce takes as many entries as the pool has, one after the other, and
// puts back those that have half of their life left. Which entry Take gives is
// up to chance: one that is missed is met at a later sweep, and webapp hands
// out none that has expired.
func (s *Server) sweepOnce(ctx context.Context) error {
	n, err := s.store.Count(ctx, "")
	if err != nil {
		return err
	}
	dropped := 0
	for range n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		old, err := s.sweepEntry(ctx)
		if errors.Is(err, problem.Unavailable) {
			break // Others were faster: nothing is left to look at.
		}
		if err != nil {
			return err
		}
		if old {
			dropped++
		}
	}
	if dropped > 0 {
		s.log.Info("old entries removed from the pool", "entries", dropped)
	}
	return nil
}

// sweepEntry looks at one entry. It finishes what it began even when ctx ends.
func (s *Server) sweepEntry(ctx context.Context) (old bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), opTimeout/3)
	defer cancel()
	entry, err := s.store.Take(ctx, "")
	if err != nil {
		return false, err
	}
	if time.Until(entry.ValidUntil) < s.vpnLife/2 {
		return true, nil
	}
	entry.ID, entry.Rev = newID(), "" // A new document.
	return false, s.store.Add(ctx, entry)
}

func newID() string {
	var id [16]byte
	rand.Read(id[:]) // Never fails.
	return hex.EncodeToString(id[:])
}
