package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"

	"leap.example/appliance/efi"
	"leap.example/appliance/node"
)

// A Release is the file of a release that nodes are given.
type Release struct {
	Version string
	Size    int64 // Bytes.
	path    string
	sha256  string
}

// OpenRelease reads what the release in a file is.
func OpenRelease(path string) (Release, error) {
	f, err := os.Open(path)
	if err != nil {
		return Release{}, err
	}
	defer f.Close() // Only read.
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return Release{}, err
	}
	u, err := efi.OpenUKI(f, size)
	if err != nil {
		return Release{}, fmt.Errorf("%s: %w", path, err)
	}
	return Release{Version: u.Version, Size: size, path: path, sha256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// SHA256 is that of the file, in hex.
func (r Release) SHA256() string { return r.sha256 }

// give writes a release beside the one that runs on the node, to be tried at its
// next start. It goes packed if the node unpacks it.
func (c *Client) give(ctx context.Context, r Release, packed bool, o Updating) (node.Armed, error) {
	var armed node.Armed
	f, err := os.Open(r.path)
	if err != nil {
		return armed, err
	}
	defer f.Close() // Only read.
	q := url.Values{"version": {r.Version}, "sha256": {r.sha256}}
	if o.Again {
		q.Set("again", "1")
	}
	var content io.Reader = f
	if o.Sent != nil {
		content = &counted{f, 0, func(n int64) { o.Sent(n, r.Size) }}
	}
	size, header := r.Size, http.Header{}
	if packed {
		pipe := pack(content)
		defer pipe.Close() // So that packing ends with this call.
		q.Set("size", strconv.FormatInt(size, 10))
		header.Set("Content-Encoding", node.ReleasePacked)
		content, size = pipe, -1
	}
	body, err := c.send(ctx, http.MethodPut, node.PathRelease, q, header, content, size)
	if err != nil {
		return armed, err
	}
	defer body.Close() // Only read.
	err = json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&armed)
	return armed, err
}

// A packer is what is packed while it is read.
type packer struct {
	*io.PipeReader
	done chan struct{} // Closed when nothing is read any more.
}

// Close implements [io.Closer]: it waits until the work has ended.
func (p packer) Close() error {
	err := p.PipeReader.Close()
	<-p.done
	return err
}

// pack packs what r reads.
func pack(r io.Reader) packer {
	from, to := io.Pipe()
	p := packer{from, make(chan struct{})}
	go func() {
		defer close(p.done)
		e, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(node.ReleaseWindow))
		if err == nil {
			_, err = io.Copy(e, r)
			err = errors.Join(err, e.Close())
		}
		to.CloseWithError(err)
	}()
	return p
}

// counted tells how much of something has been read.
type counted struct {
	r    io.Reader
	n    int64
	told func(n int64)
}

// Read implements [io.Reader].
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.told(c.n)
	return n, err
}

// Updating is how a node is given a release.
type Updating struct {
	Again bool                    // Also if it has found this release bad before.
	Told  func(string)            // Hears of the steps.
	Sent  func(done, total int64) // Hears how much of it was sent, bytes of what is not packed. May be nil.
}

// startsFor is how long all starts of a release may take, beyond its trial.
const startsFor = 10 * time.Minute

// ErrBadRelease is that a node has tried a release and gone back.
var ErrBadRelease = errors.New("the release was tried and given up")

// Update gives a node a release, restarts it, and returns once the node has
// found the release good, or [ErrBadRelease] with the reason once it has given it
// up and is back. A node that runs it already is left alone.
func (c *Client) Update(ctx context.Context, r Release, o Updating) error {
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if s.Release != r.Version {
		o.Told(fmt.Sprintf("sending release %s, %d MB", r.Version, r.Size/1e6))
		armed, err := c.give(ctx, r, s.Image.Unpacks == node.ReleasePacked, o)
		if err != nil {
			return err
		}
		o.Told(fmt.Sprintf("restarting; the release has to be good within %v", time.Duration(armed.Within)))
		if err := c.Reboot(ctx); err != nil {
			return err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(armed.Within)+startsFor)
		defer cancel()
	}
	return c.follow(ctx, s.Booted, o.Told, func(s node.Status) bool { return s.Release == r.Version }, func(s node.Status) error {
		i := slices.IndexFunc(s.Image.Bad, func(b node.BadRelease) bool { return b.Version == r.Version })
		if i < 0 {
			return nil
		}
		return fmt.Errorf("%w: %s", ErrBadRelease, s.Image.Bad[i].Reason)
	})
}

// Back has a node give up the release that runs, and returns once it runs the
// one before it.
func (c *Client) Back(ctx context.Context, told func(string)) error {
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	body, err := c.do(ctx, http.MethodPost, node.PathBack, nil, nil)
	if err != nil {
		return err
	}
	told("release " + s.Release + " is given up; restarting")
	ctx, cancel := context.WithTimeout(ctx, startsFor)
	defer cancel()
	was := s.Release
	return errors.Join(body.Close(), c.follow(ctx, s.Booted, told, func(s node.Status) bool { return s.Release != was }, nil))
}

// follow asks a node until it has found a release good that is wanted. After a
// start since before, in which it runs another one, failed says why.
func (c *Client) follow(ctx context.Context, before time.Time, told func(string), wanted func(node.Status) bool, failed func(node.Status) error) error {
	last, said := errors.New("it has not answered"), ""
	for !pause(ctx, pollEvery) {
		s, err := c.Status(ctx)
		if err != nil {
			last = err
			continue
		}
		state := fmt.Sprintf("release %s is %s", s.Release, s.Image.State)
		if s.Image.State == node.StateTrial {
			state = fmt.Sprintf("release %s has started, and is on trial", s.Release)
		}
		last = errors.New(state)
		if state != said && (wanted(s) || !s.Booted.Equal(before)) {
			told(state)
			said = state
		}
		switch {
		case wanted(s):
			if s.Image.State == node.StateGood {
				return nil
			}
		case !s.Booted.Equal(before) && failed != nil:
			if err := failed(s); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("no verdict in time: %w", last)
}
