package update

import (
	"context"
	"crypto/sha256"
	"io"
	"os"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
)

// download brings a release to a path on the writable partition, by a delta from the
// one that runs if there is one.
func (u *Updater) download(ctx context.Context, r repositories, v *tufclient.View, t *tufclient.Target, path string) error {
	if _, err := os.Stat(path); err == nil { // It was fetched before, and is looked through.
		return u.save(ctx, r, v, t, nil, path)
	}
	if old := u.running(ctx); old != nil {
		// The boot partition is held for what is short.
		if _, err := v.Vouched(ctx, target.DeltaPath(old.SHA256, t.SHA256)); err == nil {
			tried := false
			err := u.host.Old(ctx, func(content io.ReaderAt, _ int64) error {
				tried = true
				return u.save(ctx, r, v, t, &tufclient.Old{ReaderAt: content, SHA256: old.SHA256, Length: old.Length}, path)
			})
			if tried {
				return err
			}
			u.log.WarnContext(ctx, "the release that runs cannot be read", "err", err)
		}
	}
	return u.save(ctx, r, v, t, nil, path)
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

// running is what the file of the running release is, but for its content: it is read
// once. Nil: it cannot be read.
func (u *Updater) running(ctx context.Context) *tufclient.Old {
	if u.old != nil {
		return u.old
	}
	old := &tufclient.Old{}
	err := u.host.Old(ctx, func(content io.ReaderAt, size int64) error {
		sum := sha256.New()
		_, err := io.Copy(sum, io.NewSectionReader(content, 0, size))
		old.SHA256, old.Length = [sha256.Size]byte(sum.Sum(nil)), size
		return err
	})
	if err != nil {
		u.log.WarnContext(ctx, "the release that runs cannot be read", "err", err)
		return nil
	}
	u.old = old
	return old
}
