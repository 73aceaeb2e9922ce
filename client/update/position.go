package update

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"leap.example/updater/target"
)

const (
	positionFile = "position"
	positionSize = 32 // Bytes.
)

// secret returns the random bytes that decide the place of this computer in the
// waves of all releases, and makes them the first time. It is that of the prefix
// if there is one, so that all who look say the same; users of the computer may
// read it, since it decides when and not what.
func (u *Updater) secret() ([]byte, error) {
	for _, dir := range []string{u.cfg.Prefix.Dir(), u.cfg.Dir} {
		data, err := readSmall(filepath.Join(dir, positionFile))
		if err == nil && len(data) == positionSize {
			return data, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the place in the waves: %w", err)
		}
	}
	data := make([]byte, positionSize)
	_, _ = rand.Read(data) // Never an error.
	return data, replace(u.disk, filepath.Join(u.cfg.Dir, positionFile), data, 0o644)
}

// position is the place of this computer in the waves of a release.
func position(secret []byte) func(release string) int {
	return func(release string) int { return target.Position(secret, release) }
}
