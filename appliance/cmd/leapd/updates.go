package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"leap.example/appliance/efi"
	"leap.example/appliance/mirror"
	"leap.example/appliance/node"
	"leap.example/appliance/update"
	"leap.example/services/couch"
)

// ownUpdates is how this node updates itself. Nil: it can keep nothing.
func ownUpdates(id node.Identity, release efi.Release, boot node.Boot, log *slog.Logger) (*update.Config, error) {
	if !boot.Perm {
		return nil, nil
	}
	root, err := os.ReadFile(node.VendorFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return &update.Config{
		Node: id.Node, Version: release.Version, RAM: installed(), Built: release.Built, Vendor: root, Dir: node.UpdateDir,
		Agree: func(s node.Slot, password []byte) (update.Agreement, error) { return agree(s, password, log) },
	}, nil
}

// ownMirror is how this node keeps copies of repositories, if it can keep anything.
func ownMirror(u *update.Config) *mirror.Config {
	if u == nil {
		return nil
	}
	return &mirror.Config{Dir: node.MirrorDir, Vendor: u.Vendor, Built: u.Built}
}

// installed is the memory of the machine, MiB: the kernel keeps some for itself, and
// modules have sizes that can be divided by this. 0: not known.
func installed() int {
	const step = 128
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	mib := int(info.Totalram * uint64(info.Unit) >> 20)
	return (mib + step - 1) / step * step
}

// agreement is the database in which nodes agree.
type agreement struct {
	*couch.Nodes

	db *couch.DB
}

// Close implements [update.Agreement].
func (a agreement) Close() error { return a.db.Close() }

// agree opens it. What the section names is put into memory first.
func agree(s node.Slot, password []byte, log *slog.Logger) (update.Agreement, error) {
	var cfg couch.Config
	d := json.NewDecoder(bytes.NewReader(s.Couch))
	d.DisallowUnknownFields()
	if err := d.Decode(&cfg); err != nil {
		return nil, err
	}
	err := os.MkdirAll(filepath.Dir(node.SlotPassword), 0o700)
	for path, content := range map[string][]byte{node.SlotPassword: password, node.SlotAuthority: []byte(s.Authority)} {
		err = errors.Join(err, os.WriteFile(path, content, 0o400))
	}
	if err != nil {
		return nil, err
	}
	db, err := couch.Open(cfg, log)
	if err != nil {
		return nil, err
	}
	return agreement{db.Nodes(), db}, nil
}
