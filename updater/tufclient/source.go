package tufclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strconv"
	"sync"
	"time"
)

// A Source has the files of a repository: a mirror, a neighbour ([HTTP]), or a
// directory ([Dir]). It is not trusted.
type Source interface {
	// Fetch reads a file from the byte off on; a source that cannot returns
	// [ErrRange], and is asked for the whole. A file that is not there is
	// [fs.ErrNotExist]. The source may end with an error what has more than
	// limit bytes in all; the caller reads no more in any case. When ctx ends,
	// so does a Read that waits.
	Fetch(ctx context.Context, name string, limit, off int64) (io.ReadCloser, error)
	// String says which it is, for errors.
	String() string
}

// Limits are what a source may ask of the client.
type Limits struct {
	Root      int64         // Bytes; zero: 512,000.
	Timestamp int64         // Bytes; zero: 16,384.
	Snapshot  int64         // Bytes; zero: 2,000,000.
	Targets   int64         // Bytes, of each role; zero: 5,000,000.
	Roots     int           // New ones in one check; zero: 1024.
	Roles     int           // In one lookup; zero: 32.
	Rate      int64         // Bytes a second that a source must send at least; zero: 8192.
	Window    time.Duration // Over which the rate is judged; zero: 30 s.
}

// orDefault fills in what is zero.
func (l Limits) orDefault() Limits {
	set := func(n *int64, d int64) {
		if *n == 0 {
			*n = d
		}
	}
	set(&l.Root, 512_000)
	set(&l.Timestamp, 16_384)
	set(&l.Snapshot, 2_000_000)
	set(&l.Targets, 5_000_000)
	set(&l.Rate, 8192)
	if l.Roots == 0 {
		l.Roots = 1024
	}
	if l.Roles == 0 {
		l.Roles = 32
	}
	if l.Window == 0 {
		l.Window = 30 * time.Second
	}
	return l
}

// metadataName is what a source calls the metadata of a role; version 0: without
// one.
func metadataName(role string, version int64) string {
	name := url.PathEscape(role) + ".json"
	if version != 0 {
		name = strconv.FormatInt(version, 10) + "." + name
	}
	return "metadata/" + name
}

// targetName is what a source calls a target; hash is its SHA-256 in hex, or
// nothing.
func targetName(p, hash string) string {
	dir, base := path.Split(p)
	if hash != "" {
		base = hash + "." + base
	}
	return "targets/" + dir + base
}

// paced reads from a source as long as it is fast enough: while somebody waits for
// it, it must send what the rate says, judged whenever a window of waiting is over.
// So every read ends, and to wait for a file of n bytes takes at most about a window
// and the time of n bytes at that rate. What a reader does between reads is its own
// time: a delta of few bytes may take long to apply.
type paced struct {
	from   io.ReadCloser
	ctx    context.Context // Ends with [ErrSlow] as its cause.
	cancel context.CancelCauseFunc
	stop   chan struct{}
	done   chan struct{}

	mu     sync.Mutex
	got    int64         // Bytes since it was judged.
	waited time.Duration // For them, without the read that waits now.
	since  time.Time     // When that began; zero: none waits.
}

// open begins to read a file from a source.
func (l Limits) open(ctx context.Context, src Source, name string, limit, off int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := &paced{ctx: ctx, cancel: cancel, stop: make(chan struct{}), done: make(chan struct{})}
	p.begin()
	go p.watch(l.Window, l.Rate)
	from, err := src.Fetch(ctx, name, limit, off)
	p.pause(0)
	if err != nil {
		err = p.cause(err)
		p.end()
		return nil, err
	}
	p.from = from
	return p, nil
}

// watch ends with p.end.
func (p *paced) watch(window time.Duration, rate int64) {
	defer close(p.done)
	t := time.NewTicker(window)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			p.judge(window, rate)
		}
	}
}

// judge ends the reading of a source that is too slow.
func (p *paced) judge(window time.Duration, rate int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.since.IsZero() {
		now := time.Now()
		p.waited += now.Sub(p.since)
		p.since = now
	}
	if p.waited < window*9/10 { // Calls take some time, too.
		return
	}
	if p.got < int64(float64(rate)*p.waited.Seconds()) {
		p.cancel(fmt.Errorf("%w: %d bytes in %v", ErrSlow, p.got, p.waited.Round(time.Second)))
	}
	p.got, p.waited = 0, 0
}

// begin begins to wait.
func (p *paced) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since = time.Now()
}

// pause ends to wait; n bytes have come.
func (p *paced) pause(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waited += time.Since(p.since)
	p.since = time.Time{}
	p.got += int64(n)
}

func (p *paced) end() {
	close(p.stop)
	<-p.done
	p.cancel(nil)
}

// cause is why reading ended: [ErrSlow], if that is why.
func (p *paced) cause(err error) error {
	if why := context.Cause(p.ctx); errors.Is(why, ErrSlow) {
		return why
	}
	return err
}

func (p *paced) Read(b []byte) (int, error) {
	p.begin()
	n, err := p.from.Read(b)
	p.pause(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = p.cause(err)
	}
	return n, err
}

// Close ends what was begun with [Limits.open].
func (p *paced) Close() error {
	err := p.from.Close()
	p.end()
	return err
}

// read reads a file of at most limit bytes.
func (l Limits) read(ctx context.Context, src Source, name string, limit int64) ([]byte, error) {
	r, err := l.open(ctx, src, name, limit, 0)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	_ = r.Close() // What was read is judged by what it is.
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrLength, name, limit)
	}
	return data, nil
}
