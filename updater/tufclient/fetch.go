package tufclient

import (
	"context"
	"errors"
	"fmt"
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
	if whole, err := d.begin(); whole || err != nil {
		return err
	}
	return d.plain(ctx)
}

// plain fetches what is missing as it is.
func (d *download) plain(ctx context.Context) error {
	var errs []error
	left := d.target.repo.Sources
	for range rounds {
		var again []Source
		for _, src := range left {
			at := d.total
			err := d.from(ctx, src)
			if err == nil || d.final(ctx, err) {
				return full(err)
			}
			errs = append(errs, fmt.Errorf("%s: %w", src, err))
			if d.total > at && !wrong(err) && !errors.Is(err, ErrSlow) {
				again = append(again, src) // It broke off.
			}
		}
		left = again
	}
	return fmt.Errorf("fetching %s: %w", d.target.Path, errors.Join(errs...))
}

// final reports whether an error is one that no other source can mend.
func (d *download) final(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, errDisk)
}

// errDisk marks errors of the slot, which no other source can mend.
var errDisk = errors.New("writing what was fetched")

// A download is a target on its way.
type download struct {
	client *Client
	target *Target
	slot   Slot
	have   int64 // How much is in the slot.
	synced int64 // How much of it is durable.
	total  int64 // How much was fetched, with what was thrown away.
	own    bool  // All that is in the slot is from the source that is read.
	sums   sums
	buf    []byte
}

// begin hashes what is in the slot, and reports whether it is the whole target:
// then it is durable. If it has all bytes and is another, the slot is emptied.
func (d *download) begin() (whole bool, err error) {
	if d.sums, err = newSums(d.target.hashes); err != nil {
		return false, err
	}
	d.buf = make([]byte, chunk)
	if _, err := d.slot.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	for {
		n, err := d.slot.Read(d.buf)
		d.add(d.buf[:n])
		if d.have > d.target.Length {
			return false, full(d.restart())
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, err
		}
	}
	if d.have < d.target.Length {
		return false, nil
	}
	if d.sums.right() {
		return true, full(d.slot.Sync()) // An earlier try may have ended before that.
	}
	return false, full(d.restart())
}

func (d *download) add(b []byte) {
	_, _ = d.sums.Write(b) // Never an error.
	d.have += int64(len(b))
}

// restart empties the slot.
func (d *download) restart() error {
	d.sums.reset()
	d.have, d.synced = 0, 0
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
	r, err := d.target.repo.limits.open(ctx, src, d.target.name, d.target.Length, d.have)
	if err != nil {
		return err
	}
	defer r.Close()
	d.synced = d.have
	for {
		n, err := r.Read(d.buf)
		if _, err := d.Write(d.buf[:n]); err != nil {
			return err
		}
		d.total += int64(n)
		if errors.Is(err, io.EOF) {
			return d.end()
		}
		if err != nil {
			return err
		}
	}
}

// Write puts what comes next into the slot, but nothing beyond the length of the
// target.
func (d *download) Write(b []byte) (int, error) {
	if int64(len(b)) > d.target.Length-d.have {
		return 0, fmt.Errorf("%w: it has more than %d bytes", ErrLength, d.target.Length)
	}
	if n, err := d.slot.Write(b); err != nil {
		return n, fmt.Errorf("%w: %w", errDisk, err)
	}
	d.add(b)
	if d.client.cfg.Progress != nil && len(b) > 0 {
		d.client.cfg.Progress(d.target.Path, d.have, d.target.Length)
	}
	if d.have-d.synced >= syncEvery {
		return len(b), d.sync()
	}
	return len(b), nil
}

// end judges what is in the slot when nothing more comes, and makes it durable.
func (d *download) end() error {
	switch {
	case d.have < d.target.Length:
		return fmt.Errorf("%w: %d bytes of %d: %w", ErrLength, d.have, d.target.Length, io.ErrUnexpectedEOF)
	case !d.sums.right():
		return fmt.Errorf("%w: %s", ErrHash, d.target.Path)
	}
	return d.sync()
}

func (d *download) sync() error {
	if err := d.slot.Sync(); err != nil {
		return fmt.Errorf("%w: %w", errDisk, err)
	}
	d.synced = d.have
	return nil
}

// Save brings a target into a file, by way of one beside it, path.part, which a
// later call goes on with. The file is the old one or the whole new one at any
// time, and durable when Save returns. If it is there already and intact, nothing
// is fetched. If there is no room for it, what there is of it is removed. Only who
// may install may write in the directory.
func (c *Client) Save(ctx context.Context, t *Target, path string, mode fs.FileMode) error {
	return c.save(t, path, mode, func(slot Slot) error { return c.Fetch(ctx, t, slot) })
}

// save has fetch bring a target into a file.
func (c *Client) save(t *Target, path string, mode fs.FileMode, fetch func(Slot) error) error {
	if intact(t, path) {
		return nil
	}
	d := c.cfg.disk
	part := path + ".part"
	f, err := d.Open(part, mode)
	if err != nil {
		return full(err)
	}
	slot := bounded{f, c.cfg.Room}
	have, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		err = slot.fits(t.Length - have)
	}
	if err == nil {
		err = fetch(slot)
	}
	if err = errors.Join(err, full(f.Close())); err == nil {
		err = full(d.Rename(part, path))
	}
	if errors.Is(err, ErrSpace) { // Nobody else shall want for what it has taken.
		return errors.Join(err, d.Remove(part))
	}
	if err != nil {
		return err
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
	got, err := newSums(t.hashes)
	if err != nil {
		return false
	}
	n, err := io.Copy(got, io.LimitReader(f, t.Length+1))
	return err == nil && n == t.Length && got.right()
}
