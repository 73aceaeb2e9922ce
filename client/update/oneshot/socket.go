package oneshot

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"leap.example/client/update"
)

// A Line is what the unit tells who asked: how far a download is, or, last, how it
// ended.
type Line struct {
	Version string `json:"version,omitempty"` // That is fetched or, at the end, was installed.
	Done    int64  `json:"done,omitempty"`    // Bytes.
	Length  int64  `json:"length,omitempty"`  // Bytes.

	End     bool   `json:"end,omitempty"`
	Problem string `json:"problem,omitempty"` // Why nothing was installed, cut if it is long; at the end, without: it is the newest.
	Well    bool   `json:"well,omitempty"`    // With a problem: nothing is wrong, it has to wait for something.
}

const (
	maxAsking  = 16               // Users who are told at once.
	maxLine    = 8 << 10          // Bytes.
	maxProblem = 1 << 10          // Bytes, of which JSON makes six times as many at most.
	admitTime  = time.Second / 4  // For letting in who waits when it is over.
	tellPause  = time.Second / 4  // Between lines of a download.
	tellTime   = time.Second      // For a user to take a line.
	hearTime   = 10 * time.Minute // For the next line: a look that is slow, or parts that start.
)

// ErrNoUnit is that nobody listens.
var ErrNoUnit = errors.New(`the unit that updates this leapc does not answer: as root, "leapc update apply" does it; "leapc update install --system" installs the unit`)

// An Audience is the users who asked, as long as the unit runs.
type Audience struct {
	ln   net.Listener
	done chan struct{} // Closed when no more are let in.

	mu   sync.Mutex // Guards what follows.
	all  []net.Conn
	last time.Time // When a line of a download was told.
}

// Inherited returns the listener that systemd started this process with, as
// sd_listen_fds(3) says; nil: there is none. pid and fds are the variables
// LISTEN_PID and LISTEN_FDS.
func Inherited(pid, fds string) (net.Listener, error) {
	if pid != fmt.Sprint(os.Getpid()) || fds != "1" {
		return nil, nil
	}
	f := os.NewFile(3, Listen) // SD_LISTEN_FDS_START.
	ln, err := net.FileListener(f)
	return ln, errors.Join(err, f.Close())
}

// NewAudience lets in who asks at a listener, which it closes at the end.
func NewAudience(ln net.Listener) *Audience {
	a := &Audience{ln: ln, done: make(chan struct{})}
	go a.admit()
	return a
}

func (a *Audience) admit() {
	defer close(a.done)
	for {
		c, err := a.ln.Accept()
		if err != nil {
			return
		}
		a.mu.Lock()
		if len(a.all) < maxAsking {
			a.all = append(a.all, c)
		} else {
			_ = c.Close()
		}
		a.mu.Unlock()
	}
}

// Progress tells how far a download is, now and then.
func (a *Audience) Progress(version string, done, length int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.last) >= tellPause || done == length {
		a.last = time.Now()
		a.tell(Line{Version: version, Done: done, Length: length})
	}
}

// End tells how it ended, and hangs up.
func (a *Audience) End(l Line) {
	// Who has come before it was over is told, however short it was.
	if ln, ok := a.ln.(interface{ SetDeadline(at time.Time) error }); ok && ln.SetDeadline(time.Now().Add(admitTime)) == nil {
		<-a.done
	}
	_ = a.ln.Close() // Whoever comes now is another start's.
	<-a.done
	a.mu.Lock()
	defer a.mu.Unlock()
	l.End, l.Problem = true, update.Cut(l.Problem, maxProblem)
	a.tell(l)
	for _, c := range a.all {
		_ = c.Close()
	}
	a.all = nil
}

// tell is called with mu held. Who does not listen is told no more.
func (a *Audience) tell(l Line) {
	text, err := json.Marshal(l)
	if err != nil {
		return // There is no such line.
	}
	left := a.all[:0]
	for _, c := range a.all {
		err := c.SetWriteDeadline(time.Now().Add(tellTime))
		if err == nil {
			_, err = c.Write(append(text, '\n'))
		}
		if err != nil {
			_ = c.Close()
			continue
		}
		left = append(left, c)
	}
	a.all = left
}

// Ask has the unit look, and returns the last line that it tells. Each is called
// with the others. ErrNoUnit: nobody listens on the socket.
func Ask(ctx context.Context, socket string, each func(Line)) (Line, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return Line{}, fmt.Errorf("%w (%w)", ErrNoUnit, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	lines := bufio.NewScanner(c)
	lines.Buffer(nil, maxLine)
	for {
		if err := c.SetReadDeadline(time.Now().Add(hearTime)); err != nil {
			return Line{}, err
		}
		if !lines.Scan() {
			break
		}
		l, err := parseLine(lines.Bytes())
		if err != nil {
			return Line{}, err
		}
		if l.End {
			return l, nil
		}
		each(l)
	}
	if ctx.Err() != nil {
		return Line{}, ctx.Err()
	}
	return Line{}, fmt.Errorf("the unit that updates this leapc hung up: see \"journalctl -u %s\" (%w)", Service, lines.Err())
}

func parseLine(text []byte) (Line, error) {
	var l Line
	if err := json.Unmarshal(text, &l); err != nil {
		return Line{}, fmt.Errorf("the unit that updates this leapc says what nobody understands: %w", err)
	}
	return l, nil
}
