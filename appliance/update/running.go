package update

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"leap.example/updater/tufclient"
)

// copyFile is a copy of the release that runs, in the updater's directory, while a
// delta is fetched: the boot partition is held for no longer than it takes to read it,
// for a source may be slow, and nobody else can have it meanwhile. Its name is that of
// a download that nobody wants any more, if the power is cut ([Updater.tidy]).
const copyFile = "leap_running"

// running is what the file of the running release is, but for its content: it is read
// once. Nil: it cannot be read.
func (u *Updater) running(ctx context.Context) *tufclient.Old {
	if u.old != nil {
		return u.old
	}
	old, err := u.readOld(ctx, io.Discard)
	if err != nil {
		u.log.WarnContext(ctx, "the release that runs cannot be read", "err", err)
		return nil
	}
	u.old = &old
	return u.old
}

// readOld reads the file of the release that runs into w, and says what it is.
func (u *Updater) readOld(ctx context.Context, w io.Writer) (old tufclient.Old, err error) {
	err = u.host.Old(ctx, func(content io.ReaderAt, size int64) error {
		sum := sha256.New()
		_, err := io.Copy(io.MultiWriter(sum, w), io.NewSectionReader(content, 0, size))
		old.SHA256, old.Length = [sha256.Size]byte(sum.Sum(nil)), size
		return err
	})
	return old, err
}

// A copied is a copy of the release that runs.
type copied struct{ file *os.File }

// end removes it. What stays is tidied up later.
func (c copied) end() {
	_ = c.file.Close()
	_ = os.Remove(c.file.Name())
}

// copyOld copies the release that runs to the writable partition, if there is room for
// it beside so many bytes that are to come. The caller ends it.
func (u *Updater) copyOld(ctx context.Context, want tufclient.Old, beside int64) (c copied, err error) {
	if u.cfg.Room != nil {
		if left := u.cfg.Room() - beside; left < want.Length {
			return c, fmt.Errorf("%w: beside the release there is room for %d bytes, and it has %d", tufclient.ErrSpace, max(left, 0), want.Length)
		}
	}
	c.file, err = os.OpenFile(filepath.Join(u.cfg.Dir, copyFile), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return c, err
	}
	old, err := u.readOld(ctx, c.file)
	if err == nil && (old.SHA256 != want.SHA256 || old.Length != want.Length) {
		u.old, err = nil, errors.New("it is another file than before")
	}
	if err != nil {
		c.end()
	}
	return c, err
}
