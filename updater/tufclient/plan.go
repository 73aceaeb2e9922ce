package tufclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"leap.example/updater/target"
)

// plan reads the plan; nil: there is none.
func (v *View) plan(ctx context.Context) (*target.Plan, error) {
	t, err := v.Vouched(ctx, target.PlanPath)
	if errors.Is(err, ErrUnlisted) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, err := v.client.remember(ctx, t)
	if err != nil {
		return nil, err
	}
	p, err := target.ParsePlan(text)
	return &p, err
}

// remember returns the plan: the one that is kept beside the state, if it is the
// one that is listed now, or else that of a source, which is kept then. So a check
// without news does not fetch it. What is kept is verified each time that it is read,
// as anything that a source sends.
func (c *Client) remember(ctx context.Context, t *Target) ([]byte, error) {
	if t.Length > target.MaxPlan {
		return nil, fmt.Errorf("%w: %s has %d bytes, more than %d", ErrLength, t.Path, t.Length, target.MaxPlan)
	}
	path := filepath.Join(c.cfg.Dir, t.repo.Name+".plan")
	before := keptFile(path, t.Length)
	s := memory{data: bytes.Clone(before)}
	if err := c.Fetch(ctx, t, &s); err != nil { // If it is whole it asks nobody.
		return nil, err
	}
	if bytes.Equal(s.data, before) {
		return s.data, nil
	}
	if err := replace(c.cfg.disk, path, s.data); err != nil {
		return nil, fmt.Errorf("keeping the plan of %s: %w", t.repo.Name, full(err))
	}
	return s.data, nil
}

// keptFile reads a file of length bytes. What is another one, or cannot be read, is
// nothing: it is fetched.
func keptFile(path string, length int64) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close() // Only read.
	text, err := io.ReadAll(io.LimitReader(f, length+1))
	if err != nil || int64(len(text)) != length {
		return nil
	}
	return text
}
