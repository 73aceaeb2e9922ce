package update

import (
	"context"
	"os"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
)

// fetched reports whether a look of this process has brought a release to a path. What
// became of it there since, arming finds out: it reads all of it.
func (u *Updater) fetched(t *tufclient.Target, path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.Size() == t.Length && u.whole == t.SHA256
}

// download brings a release to a path on the writable partition, by a delta from the
// one that runs if there is one.
func (u *Updater) download(ctx context.Context, r repositories, v *tufclient.View, t *tufclient.Target, path string) error {
	if _, err := os.Stat(path); err == nil { // It was fetched before, and is looked through.
		return u.save(ctx, r, v, t, nil, path)
	}
	old := u.running(ctx)
	if old == nil {
		return u.save(ctx, r, v, t, nil, path)
	}
	if _, err := v.Vouched(ctx, target.DeltaPath(old.SHA256, t.SHA256)); err != nil {
		return u.save(ctx, r, v, t, nil, path)
	}
	c, err := u.copyOld(ctx, *old, t.Length)
	if err != nil {
		u.log.WarnContext(ctx, "what has changed in a release is of no use: the one that runs cannot be copied", "err", err)
		return u.save(ctx, r, v, t, nil, path)
	}
	defer c.end()
	return u.save(ctx, r, v, t, &tufclient.Old{ReaderAt: c.file, SHA256: old.SHA256, Length: old.Length}, path)
}

// save fetches a release, and says how.
func (u *Updater) save(ctx context.Context, r repositories, v *tufclient.View, t *tufclient.Target, old *tufclient.Old, path string) error {
	how, err := r.SaveFrom(ctx, v, t, old, path, 0o600)
	for _, failed := range how.Failed {
		u.log.WarnContext(ctx, "a smaller download did not do", "err", failed)
	}
	if err == nil && how.Path != "" {
		u.log.InfoContext(ctx, "a release is downloaded", "release", t.Description.Version, "by", how.Path, "bytes", how.Fetched)
	}
	return err
}
