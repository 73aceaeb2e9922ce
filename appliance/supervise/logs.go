package supervise

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"leap.example/appliance/node"
)

const (
	maxLine    = 4 << 10 // Bytes of a line; a longer one becomes several.
	lineBuffer = 256     // Lines that a follower may be behind before it misses some.
	logMode    = 0o600
	older      = ".old" // Suffix of the older half.
)

// Logs keeps the last lines of each service in files: the current one, and the
// one before, which is dropped when the current one has half of the size. Lines
// that cannot be written are lost; a service never waits for its log, and
// nothing is synced.
type Logs struct {
	dir  string
	half int64 // Bytes.

	mu        sync.Mutex // Guards what follows.
	files     map[string]*logFile
	followers map[*follower]struct{}
}

type logFile struct {
	f    *os.File
	size int64
}

// A follower gets new lines of one service, or of all.
type follower struct {
	name  string
	lines chan node.LogLine
}

// NewLogs keeps at most so many bytes for each service in dir, which it makes.
func NewLogs(dir string, size int64) (*Logs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Logs{dir: dir, half: size / 2, files: map[string]*logFile{}, followers: map[*follower]struct{}{}}, nil
}

// Close closes the files. Lines that come later are lost.
func (l *Logs) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.f.Close())
	}
	l.files = nil
	return errors.Join(errs...)
}

// Add adds a line to the log of a service.
func (l *Logs) Add(name, text string) {
	line := node.LogLine{Time: time.Now().UTC().Truncate(time.Millisecond), Service: name, Text: text}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.write(line) // See Logs: there is nobody to tell but the log.
	for f := range l.followers {
		if f.name == "" || f.name == name {
			select {
			case f.lines <- line:
			default: // It is too slow.
			}
		}
	}
}

func (l *Logs) write(line node.LogLine) error {
	if l.files == nil {
		return os.ErrClosed
	}
	text := line.Time.Format(time.RFC3339Nano) + " " + line.Text + "\n"
	f := l.files[line.Service]
	if f != nil && f.size > 0 && f.size+int64(len(text)) > l.half {
		delete(l.files, line.Service)
		path := l.path(line.Service)
		if err := errors.Join(f.f.Close(), os.Rename(path, path+older)); err != nil {
			return err
		}
		f = nil
	}
	if f == nil {
		file, err := os.OpenFile(l.path(line.Service), os.O_CREATE|os.O_APPEND|os.O_WRONLY, logMode)
		if err != nil {
			return err
		}
		size, err := file.Seek(0, io.SeekEnd)
		if err != nil {
			return errors.Join(err, file.Close())
		}
		f = &logFile{file, size}
		l.files[line.Service] = f
	}
	n, err := f.f.WriteString(text)
	f.size += int64(n)
	return err
}

func (l *Logs) path(name string) string { return filepath.Join(l.dir, name+".log") }

// copy adds the lines that come from a process until it ends.
func (l *Logs) copy(name string, from io.Reader) {
	r := bufio.NewReaderSize(from, maxLine)
	for {
		line, _, err := r.ReadLine()
		if err != nil {
			return
		}
		l.Add(name, strings.ToValidUTF8(string(line), string(utf8.RuneError)))
	}
}

// Lines returns the last n lines of a service, or of all services if name is
// empty, the oldest first.
func (l *Logs) Lines(name string, n int) ([]node.LogLine, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.read(name, n)
}

func (l *Logs) read(name string, n int) ([]node.LogLine, error) {
	names := []string{name}
	if name == "" {
		all, err := filepath.Glob(l.path("*"))
		if err != nil {
			return nil, err
		}
		names = names[:0]
		for _, path := range all {
			names = append(names, strings.TrimSuffix(filepath.Base(path), ".log"))
		}
	}
	var lines []node.LogLine
	for _, name := range names {
		if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("%q is no name of a service", name)
		}
		for _, path := range []string{l.path(name) + older, l.path(name)} {
			text, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			lines = append(lines, parseLog(name, text)...)
		}
	}
	if len(names) > 1 {
		slices.SortStableFunc(lines, func(a, b node.LogLine) int { return cmp.Compare(a.Time.UnixNano(), b.Time.UnixNano()) })
	}
	return lines[max(0, len(lines)-n):], nil
}

// parseLog returns the lines of a file. A power cut may leave anything in it:
// what is no line is left out.
func parseLog(name string, text []byte) (lines []node.LogLine) {
	for line := range bytes.Lines(text) {
		when, what, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		at, err := time.Parse(time.RFC3339Nano, when)
		if !ok || err != nil {
			continue
		}
		lines = append(lines, node.LogLine{Time: at.UTC(), Service: name, Text: strings.ToValidUTF8(what, string(utf8.RuneError))})
	}
	return lines
}

// follow is Lines, and all lines that come after those until stop is called.
func (l *Logs) follow(name string, n int) (lines []node.LogLine, next <-chan node.LogLine, stop func(), err error) {
	f := &follower{name, make(chan node.LogLine, lineBuffer)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if lines, err = l.read(name, n); err != nil {
		return nil, nil, nil, err
	}
	l.followers[f] = struct{}{}
	return lines, f.lines, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.followers, f)
	}, nil
}
