// Package release keeps releases that were built, each in a directory of its own
// below a common one, under its version:
//
//	leap_VERSION.efi       the release
//	leap_VERSION.efi.zst   the same, packed, for those who fetch it
//	leap_VERSION.img       a disk that starts it
//	leap_VERSION.cdx.json  what it consists of, CycloneDX
//	loader.efi             the boot loader
//	release.json           version, time, sizes and digests
//
// All of it is a function of the build: whoever builds the same source again gets
// the same files.
package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"leap.example/appliance/durable"
	"leap.example/appliance/efi"
	"leap.example/image/disk"
	"leap.example/image/uki"
	"leap.example/updater/target"
)

// A Release is one that is kept.
type Release struct {
	Dir     string    `json:"-"` // Where its files are.
	Version string    `json:"version"`
	Built   time.Time `json:"built"` // As it says itself; see [efi.Release].
	Signed  bool      `json:"signed"`
	Files   []File    `json:"files"`
}

// A File is one of its files.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // Bytes.
	SHA256 string `json:"sha256"`
}

// about is the file that describes a release; it is written last.
const about = "release.json"

// UKI is the path of the release itself.
func (r *Release) UKI() string { return filepath.Join(r.Dir, efi.FileName(r.Version)) }

// Disk is the path of the disk image. It may have been left out.
func (r *Release) Disk() string { return filepath.Join(r.Dir, "leap_"+r.Version+".img") }

// BootLoader is the path of the boot loader.
func (r *Release) BootLoader() string { return filepath.Join(r.Dir, "loader.efi") }

// Options say what is kept of a build.
type Options struct {
	Version string
	Built   time.Time
	Signed  bool
	Disk    bool          // A disk image, too.
	Told    disk.Progress // Of the disk image. May be nil.
}

// Keep writes the files of a build into dir/VERSION, in the place of those of the
// same version. They appear whole or not at all.
func Keep(ctx context.Context, dir string, b *uki.Build, o Options) (r *Release, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(dir, ".new-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp) // After the rename there is nothing to remove.
	r = &Release{Dir: tmp, Version: o.Version, Built: o.Built.UTC(), Signed: o.Signed}
	sent, err := pack(b.UKI)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		path string
		data []byte
	}{
		{r.UKI(), b.UKI},
		{r.UKI() + ".zst", sent},
		{filepath.Join(tmp, "leap_"+o.Version+".cdx.json"), b.SBOM},
		{r.BootLoader(), b.BootLoader},
	} {
		if err := durable.WriteFile(f.path, f.data, 0o644); err != nil {
			return nil, err
		}
		r.Files = append(r.Files, File{filepath.Base(f.path), int64(len(f.data)), digest(f.data)})
	}
	if o.Disk {
		if err := r.addDisk(ctx, b, o.Told); err != nil {
			return nil, err
		}
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(filepath.Join(tmp, about), append(text, '\n'), 0o644); err != nil {
		return nil, err
	}
	r.Dir = filepath.Join(dir, o.Version)
	return r, errors.Join(os.Chmod(tmp, 0o755), os.RemoveAll(r.Dir), os.Rename(tmp, r.Dir))
}

func (r *Release) addDisk(ctx context.Context, b *uki.Build, told disk.Progress) error {
	if err := disk.Write(ctx, r.Disk(), disk.Options{UKI: b.UKI, BootLoader: b.BootLoader}, told); err != nil {
		return err
	}
	f, err := os.Open(r.Disk())
	if err != nil {
		return err
	}
	defer f.Close() // Only read.
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	r.Files = append(r.Files, File{filepath.Base(r.Disk()), size, hex.EncodeToString(sum.Sum(nil))})
	return err
}

// pack returns data as it is sent. One encoder alone, so that the result does
// not depend on the number of processors.
func pack(data []byte) ([]byte, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return e.EncodeAll(data, nil), e.Close()
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// ErrNone is that no release is kept.
var ErrNone = errors.New("no release has been built: run \"leap image build\"")

// Open returns a release that is kept below dir; the newest, if version is empty.
func Open(dir, version string) (*Release, error) {
	if version == "" {
		list, err := List(dir)
		if err != nil || len(list) > 0 {
			return last(list), err
		}
		return nil, ErrNone
	}
	if err := target.CheckVersion(version); err != nil {
		return nil, err
	}
	r := &Release{Dir: filepath.Join(dir, version)}
	text, err := os.ReadFile(filepath.Join(r.Dir, about))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no release %s in %s: run \"leap image build\"", version, dir)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(r.Dir, about), err)
	}
	if r.Version != version {
		return nil, fmt.Errorf("%s is of the release %s", filepath.Join(r.Dir, about), r.Version)
	}
	return r, nil
}

// List returns all releases that are kept below dir, the newest last.
func List(dir string) ([]*Release, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	list := []*Release{}
	for _, e := range entries {
		if target.CheckVersion(e.Name()) != nil {
			continue
		}
		r, err := Open(dir, e.Name())
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *Release) int { return target.Compare(a.Version, b.Version) })
	return list, nil
}

func last(list []*Release) *Release {
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}
