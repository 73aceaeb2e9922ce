package tufclient

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A Slot is where a target goes. It may have the beginning of it, of an earlier
// try. *os.File is one.
type Slot interface {
	io.ReadWriteSeeker
	Truncate(size int64) error
	Sync() error
}

const (
	chunk     = 64 << 10 // What is in memory at a time.
	syncEvery = 8 << 20  // How much a power cut takes of a download, at most.
	rounds    = 5        // How often a source is asked that breaks off.
)

// Fetch brings a target into a slot: it is whole, verified and durable when Fetch
// returns. What the slot has of it is not fetched again, and a whole one asks
// nobody. The sources are asked in order, each for what is missing. What cannot
// be right is not left in the slot; what may be stays, for the next try.
func (c *Client) Fetch(ctx context.Context, t *Target, slot Slot) error {
	d := &download{client: c, target: t, slot: slot}
	if err := d.begin(); err != nil {
		return err
	}
	if d.have == t.Length && d.right() {
		return full(slot.Sync()) // An earlier try may have ended before that.
	}
	if d.have == t.Length {
		if err := d.restart(); err != nil {
			return err
		}
	}
	var errs []error
	left := t.repo.Sources
	for range rounds {
		var again []Source
		for _, src := range left {
			at := d.total
			err := d.from(ctx, src)
			if err == nil || ctx.Err() != nil || errors.Is(err, errDisk) {
				return full(err)
			}
			errs = append(errs, fmt.Errorf("%s: %w", src, err))
			if d.total > at && !wrong(err) && !errors.Is(err, ErrSlow) {
				again = append(again, src) // It broke off.
			}
		}
		left = again
	}
	return fmt.Errorf("fetching %s: %w", t.Path, errors.Join(errs...))
}

// errDisk marks errors of the slot, which no other source can mend.
var errDisk = errors.New("writing what was fetched")

// A download is a target on its way.
type download struct {
	client *Client
	target *Target
	slot   Slot
	have   int64 // How much is in the slot.
	total  int64 // How much was fetched, with what was thrown away.
	own    bool  // All that is in the slot is from the source that is read.
	hashes map[string]hash.Hash
	buf    []byte
}

// begin hashes what is in the slot.
func (d *download) begin() (err error) {
	if d.hashes, err = newHashes(d.target.hashes); err != nil {
		return err
	}
	d.buf = make([]byte, chunk)
	if _, err := d.slot.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for {
		n, err := d.slot.Read(d.buf)
		d.add(d.buf[:n])
		if d.have > d.target.Length {
			return d.restart()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (d *download) add(b []byte) {
	for _, h := range d.hashes {
		_, _ = h.Write(b) // Never an error.
	}
	d.have += int64(len(b))
}

// right reports whether what is in the slot has every hash that is listed.
func (d *download) right() bool {
	for name, h := range d.hashes {
		if !hmac.Equal(h.Sum(nil), d.target.hashes[name]) {
			return false
		}
	}
	return true
}

// restart empties the slot.
func (d *download) restart() error {
	for _, h := range d.hashes {
		h.Reset()
	}
	d.have = 0
	_, err := d.slot.Seek(0, io.SeekStart)
	if err = errors.Join(err, d.slot.Truncate(0)); err != nil {
		return fmt.Errorf("%w: %w", errDisk, err)
	}
	return nil
}

// from fetches what is missing from one source. If the whole turns out wrong,
// and another source or an earlier try had a part in it, or if the source cannot
// go on from there, it gets a chance to send all of it.
func (d *download) from(ctx context.Context, src Source) error {
	d.own = d.have == 0
	for {
		at := d.total
		err := d.read(ctx, src)
		if !errors.Is(err, ErrRange) && (!wrong(err) || d.total == at) {
			return err
		}
		if err := d.restart(); err != nil {
			return err
		}
		if d.own {
			return err
		}
		d.own = true
	}
}

// wrong reports whether an error is that of content, not of a connection.
func wrong(err error) bool {
	return errors.Is(err, ErrHash) || errors.Is(err, ErrLength) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// read reads from a source to the end.
func (d *download) read(ctx context.Context, src Source) error {
	length := d.target.Length
	r, err := d.target.repo.limits.open(ctx, src, d.target.name, length, d.have)
	if err != nil {
		return err
	}
	defer r.Close()
	for synced := d.have; ; {
		n, err := r.Read(d.buf)
		if int64(n) > length-d.have {
			return fmt.Errorf("%w: it has more than %d bytes", ErrLength, length)
		}
		if n > 0 {
			if _, err := d.slot.Write(d.buf[:n]); err != nil {
				return fmt.Errorf("%w: %w", errDisk, err)
			}
			d.add(d.buf[:n])
			d.total += int64(n)
			if d.client.cfg.Progress != nil {
				d.client.cfg.Progress(d.target.Path, d.have, length)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if d.have-synced >= syncEvery {
			if err := d.slot.Sync(); err != nil {
				return fmt.Errorf("%w: %w", errDisk, err)
			}
			synced = d.have
		}
	}
	switch {
	case d.have < length:
		return fmt.Errorf("%w: %d bytes of %d: %w", ErrLength, d.have, length, io.ErrUnexpectedEOF)
	case !d.right():
		return fmt.Errorf("%w: %s", ErrHash, d.target.Path)
	}
	if err := d.slot.Sync(); err != nil {
		return fmt.Errorf("%w: %w", errDisk, err)
	}
	return nil
}

// Save brings a target into a file, by way of one beside it, path.part, which a
// later call goes on with. The file is the old one or the whole new one at any
// time, and durable when Save returns. If it is there already and intact, nothing
// is fetched. Only who may install may write in the directory.
func (c *Client) Save(ctx context.Context, t *Target, path string, mode fs.FileMode) error {
	if intact(t, path) {
		return nil
	}
	d := c.cfg.disk
	part := path + ".part"
	f, err := d.Open(part, mode)
	if err != nil {
		return full(err)
	}
	err = c.Fetch(ctx, t, f)
	if err = errors.Join(err, full(f.Close())); err != nil {
		return err
	}
	if err := d.Rename(part, path); err != nil {
		return full(err)
	}
	return full(d.SyncDir(filepath.Dir(path)))
}

// intact reports whether a file is the target.
func intact(t *Target, path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	hashes, err := newHashes(t.hashes)
	if err != nil {
		return false
	}
	d := download{target: t, hashes: hashes}
	all := io.MultiWriter(writers(hashes)...)
	if d.have, err = io.Copy(all, io.LimitReader(f, t.Length+1)); err != nil {
		return false
	}
	return d.have == t.Length && d.right()
}

func writers(hashes map[string]hash.Hash) (all []io.Writer) {
	for _, h := range hashes {
		all = append(all, h)
	}
	return all
}
