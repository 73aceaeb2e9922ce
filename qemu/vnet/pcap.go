package vnet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

const defaultCapture = 8 << 20

// A capture keeps the newest frames, and may write all of them into a file.
type capture struct {
	mu     sync.Mutex
	limit  int
	size   int // Of the frames in taken.
	taken  []captured
	file   *os.File // Nil without one.
	w      *bufio.Writer
	failed error // Of the first write that failed; no more are tried.
}

type captured struct {
	at    time.Time
	frame []byte
}

func newCapture(limit int, path string) (*capture, error) {
	c := &capture{limit: limit}
	if limit == 0 {
		c.limit = defaultCapture
	}
	if path == "" {
		return c, nil
	}
	var err error
	if c.file, err = os.Create(path); err != nil {
		return nil, err
	}
	c.w = bufio.NewWriterSize(c.file, 64<<10)
	c.failed = pcapHead(c.w)
	return c, nil
}

func (c *capture) add(at time.Time, frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken = append(c.taken, captured{at, frame})
	c.size += len(frame)
	for c.size > c.limit {
		c.size -= len(c.taken[0].frame)
		c.taken[0].frame = nil
		c.taken = c.taken[1:]
	}
	if c.w != nil && c.failed == nil {
		c.failed = pcapFrame(c.w, at, frame)
	}
}

// newest returns what is kept.
func (c *capture) newest() []captured {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]captured(nil), c.taken...)
}

func (c *capture) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	return errors.Join(c.failed, c.w.Flush(), c.file.Close())
}

// WritePcap writes the newest frames that came into the switch, also those that
// were cut or lost afterwards, for tcpdump and Wireshark.
func (l *LAN) WritePcap(w io.Writer) error {
	b := bufio.NewWriter(w)
	if err := pcapHead(b); err != nil {
		return err
	}
	for _, f := range l.capture.newest() {
		if err := pcapFrame(b, f.at, f.frame); err != nil {
			return err
		}
	}
	return b.Flush()
}

// SavePcap is WritePcap into a new file, for the artefacts of a failed test.
func (l *LAN) SavePcap(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(l.WritePcap(f), f.Close())
}

// pcapHead begins a file of frames with times in nanoseconds (libpcap,
// pcap-savefile(5); link type 1 is Ethernet).
func pcapHead(w io.Writer) error {
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b23c4d)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint32(b, MaxFrame)
	b = binary.LittleEndian.AppendUint32(b, 1)
	_, err := w.Write(b)
	return err
}

func pcapFrame(w io.Writer, at time.Time, frame []byte) error {
	b := make([]byte, 0, 16+len(frame))
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Nanosecond()))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	_, err := w.Write(append(b, frame...))
	return err
}
