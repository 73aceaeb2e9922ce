package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

const (
	maxSerialFile = 8 << 20 // Bytes that a file gets.
	maxSerialKept = 1 << 20 // Bytes, the newest, that stay in memory.
)

var errEnded = errors.New("the machine has ended")

// A console is what a machine has written to its serial port.
type console struct {
	file *os.File // Nil without one.

	mu      sync.Mutex
	text    []byte        // The newest bytes.
	start   int64         // How many came before them.
	written int           // Bytes in file.
	failed  error         // The first error of file.
	more    chan struct{} // Closed at the next change.
	ended   bool
}

func newConsole(path string) (*console, error) {
	c := &console{more: make(chan struct{})}
	if path == "" {
		return c, nil
	}
	var err error
	c.file, err = os.Create(path)
	return c, err
}

// Write takes what the machine writes. It never fails, as QEMU has to go on.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, p...)
	if many := len(c.text) - maxSerialKept; many > 0 {
		many = max(many, maxSerialKept/2) // So that it is not moved for each byte.
		c.text = append([]byte(nil), c.text[min(many, len(c.text)):]...)
		c.start += int64(many)
	}
	if c.file != nil && c.failed == nil && c.written < maxSerialFile {
		q := p[:min(len(p), maxSerialFile-c.written)]
		_, c.failed = c.file.Write(q)
		c.written += len(q)
	}
	close(c.more)
	c.more = make(chan struct{})
	return len(p), nil
}

// end says that nothing more comes.
func (c *console) end() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	close(c.more)
	c.more = make(chan struct{})
	if c.file == nil {
		return nil
	}
	return errors.Join(c.failed, c.file.Close())
}

// tail returns the newest n bytes, or fewer.
func (c *console) tail(n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.text[max(0, len(c.text)-n):])
}

// wait returns where text ends that was written at from or later.
func (c *console) wait(ctx context.Context, from int64, text string) (int64, error) {
	for {
		c.mu.Lock()
		from = max(from, c.start)
		end := c.start + int64(len(c.text))
		if from < end {
			if at := bytes.Index(c.text[from-c.start:], []byte(text)); at >= 0 {
				c.mu.Unlock()
				return from + int64(at+len(text)), nil
			}
			from = max(from, end-int64(len(text))+1) // The rest is searched already.
		}
		more, ended := c.more, c.ended
		c.mu.Unlock()
		if ended {
			return 0, fmt.Errorf("waiting for %q on the console: %w", text, errEnded)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, fmt.Errorf("waiting for %q on the console: %w", text, context.Cause(ctx))
		}
	}
}
