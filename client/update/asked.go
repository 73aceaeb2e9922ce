package update

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// askedFile is empty; when it was written says when somebody asked last.
const askedFile = "asked"

// askedPause is how long one look that somebody asked for keeps off the next one.
const askedPause = time.Minute

// ErrSoon is a look that somebody asks for soon after another, wrapped.
var ErrSoon = errors.New("somebody has asked for a look a moment ago, and one is made each minute at most")

// Asked notes that somebody asks for a look, who need not be the owner of the prefix.
// [ErrSoon]: somebody did within a minute, and has to count for both. A clock that was
// set back does not count as soon. Only the owner calls it.
func (p Prefix) Asked(now time.Time) error {
	path := filepath.Join(p.Dir(), askedFile)
	info, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		if ago := now.Sub(info.ModTime()); ago >= 0 && ago < askedPause {
			return fmt.Errorf("%w: ask again in %v", ErrSoon, max(time.Second, (askedPause-ago).Round(time.Second)))
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return full(err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	return full(os.Chtimes(path, now, now))
}
