package tuftest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// Stock has go-tuf's own client check a tree of files at a time, and returns the
// content of targets. What the client trusts is in the directory own; if that is
// not there yet, it begins with the first root of the tree.
func Stock(own, public string, now time.Time, paths ...string) ([][]byte, error) {
	root, err := os.ReadFile(filepath.Join(own, "root.json"))
	if errors.Is(err, fs.ErrNotExist) {
		root, err = os.ReadFile(filepath.Join(public, "metadata", "1.root.json"))
	}
	if err != nil {
		return nil, err
	}
	cfg, err := config.New(vendor+"metadata", root)
	if err != nil {
		return nil, err
	}
	cfg.Fetcher, cfg.RemoteTargetsURL = files(public), vendor+"targets"
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = own, filepath.Join(own, "targets")
	u, err := updater.New(cfg)
	if err != nil {
		return nil, err
	}
	u.UnsafeSetRefTime(now)
	if err := u.Refresh(); err != nil {
		return nil, err
	}
	var all [][]byte
	for _, p := range paths {
		t, err := u.GetTargetInfo(p)
		if err != nil {
			return nil, err
		}
		_, data, err := u.DownloadTarget(t, "", "")
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// vendor is where the client believes that the tree is.
const vendor = "https://vendor.example/"

// files fetches from a directory, as if it were a server.
type files string

func (f files) DownloadFile(url string, limit int64, _ time.Duration) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(string(f), strings.TrimPrefix(url, vendor)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: 404, URL: url}
	}
	if err == nil && int64(len(data)) > limit {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: url}
	}
	return data, err
}
