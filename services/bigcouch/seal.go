package bigcouch

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch/sealed"
)

// disk returns the file system of the store: base, or the operating system's
// if that is nil, under the seal if the node has keys. Every file of the store
// can be read on it; seal is nil without keys.
func disk(base vfs.FS, cfg Config) (fs vfs.FS, seal *sealed.FS, err error) {
	if base == nil {
		base = vfs.Default
	}
	if len(cfg.KeyFiles) == 0 {
		return base, nil, sealed.CheckPlain(base, cfg.Dir)
	}
	keys, err := sealed.ReadKeys(cfg.KeyFiles)
	if err != nil {
		return nil, nil, err
	}
	seal = sealed.New(base, keys)
	return seal, seal, seal.Check(cfg.Dir)
}

// cannotRead reports whether err says that the store is not sealed as the
// configuration says, which no restart changes.
func cannotRead(err error) bool {
	return errors.Is(err, sealed.ErrKey) || errors.Is(err, sealed.ErrPlain) || errors.Is(err, sealed.ErrDamaged)
}

// reseal rewrites in the background what is sealed under an old key.
func (n *node) reseal(ctx context.Context, seal *sealed.FS) {
	if seal == nil {
		return
	}
	files, err := seal.Reseal(ctx, n.cfg.Dir)
	if err != nil && ctx.Err() == nil {
		n.log.Error("store not resealed", "done", files, "err", err)
	} else if files > 0 {
		n.log.Info("store resealed", "files", files)
	}
}

// Seal seals the store of a node that is stopped and has had no keys until
// now, and returns how many files it has sealed. A store that is sealed stays
// as it is.
func Seal(ctx context.Context, cfg Config) (int, error) {
	keys, err := sealed.ReadKeys(cfg.KeyFiles)
	if err != nil {
		return 0, err
	}
	return sealed.New(vfs.Default, keys).Seal(ctx, cfg.Dir)
}

// A KeyUse says how many files of a store are sealed under a key.
type KeyUse struct {
	ID      sealed.KeyID `json:"id"`
	Current bool         `json:"current"` // New files are.
	Files   int          `json:"files"`
}

// KeysInUse returns which keys a node's store is sealed under, the current one
// first. The node may be running.
func KeysInUse(cfg Config) ([]KeyUse, error) {
	keys, err := sealed.ReadKeys(cfg.KeyFiles)
	if err != nil {
		return nil, err
	}
	return keysInUse(sealed.New(vfs.Default, keys), cfg.Dir)
}

func keysInUse(seal *sealed.FS, dir string) ([]KeyUse, error) {
	count, err := seal.InUse(dir)
	if err != nil {
		return nil, err
	}
	current := seal.Current()
	list := []KeyUse{{ID: current, Current: true, Files: count[current]}}
	for id, n := range count {
		if id != current {
			list = append(list, KeyUse{ID: id, Files: n})
		}
	}
	slices.SortFunc(list[1:], func(a, b KeyUse) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return list, nil
}
