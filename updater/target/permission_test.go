package target_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"leap.example/updater/target"
)

// TestPermission reads what a director lists as a description, and as a permission.
func TestPermission(t *testing.T) {
	d := target.Description{
		Schema: target.Schema, Release: "1.2.0", Variant: target.Node, Version: "1.2.0", Arch: "amd64",
		State: target.Range{Oldest: 1, Newest: 1}, Documents: target.Range{Oldest: 1, Newest: 1}, LeastRAM: 64,
	}
	from := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	text, err := d.Permitted(target.Permission{From: from, Nodes: []string{"db1", "db2"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := target.Parse(text); err != nil || got != d {
		t.Errorf("as a description: %+v, %v", got, err)
	}
	p, err := target.ParsePermission(text)
	if err != nil {
		t.Fatal(err)
	}
	if due, err := p.Due(target.Machine{Name: "db2"}); err != nil || !due.Equal(from) {
		t.Errorf("of db2: %v, %v", due, err)
	}
	if _, err := p.Due(target.Machine{Name: "web1"}); !errors.Is(err, target.ErrHeld) {
		t.Errorf("of web1: %v", err)
	}
	plain, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	all, err := target.ParsePermission(plain)
	if err != nil {
		t.Fatal(err)
	}
	if due, err := all.Due(target.Machine{}); err != nil || !due.IsZero() {
		t.Errorf("without a permission: %v, %v", due, err)
	}
	if _, err := d.Permitted(target.Permission{Nodes: slices.Repeat([]string{"x"}, 513)}); !errors.Is(err, target.ErrDescription) {
		t.Errorf("too many nodes: %v", err)
	}
	if _, err := target.ParsePermission([]byte(`{"permission":{"nodes":7}}`)); !errors.Is(err, target.ErrDescription) {
		t.Errorf("no names: %v", err)
	}
}
