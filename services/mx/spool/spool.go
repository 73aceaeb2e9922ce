// Package spool holds a message while it comes in, so that its clear text is
// never written to a disk: small ones in memory, larger ones in a file that is
// sealed with a key which only this process knows, and only as long as the
// message is held.
//
// A [Dir] bounds the memory of all its spools together. When it is used up, or
// a message has more than [InMemory] octets, what was received goes to the
// file in sealed pieces (AES-256-GCM, a key for each file, a counter as nonce).
// The file's name is removed as soon as it is open: after a crash there is
// neither name nor key.
package spool

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"golang.org/x/sync/semaphore"

	"leap.example/services/protocol/problem"
)

// InMemory is the greatest length of a message that is never in a file, octets.
const InMemory = 1 << 20

// firstPiece is the length of a spool's first buffer, octets.
const firstPiece = 16 << 10

// A Dir makes spools. It may be used from any goroutine.
type Dir struct {
	path   string
	memory *semaphore.Weighted
}

// New returns a Dir whose spools take at most memory octets together, and
// write what is more to files in the directory path. Without a path there are
// no files, and InMemory does not bound a message.
func New(path string, memory int64) *Dir { return &Dir{path, semaphore.NewWeighted(memory)} }

// A Spool holds one message. It belongs to one goroutine.
type Spool struct {
	dir    *Dir
	taken  int64  // Of dir's memory: the capacity of buf.
	buf    []byte // What is not in the file.
	size   int64
	file   *os.File
	aead   cipher.AEAD
	pieces []int // Lengths of the pieces in the file, in clear.
}

// Receive reads r to its end into a new spool, which must be closed. Its error
// is that of r, or Unavailable if there is neither memory nor disk for more.
func (d *Dir) Receive(r io.Reader) (*Spool, error) {
	s := &Spool{dir: d}
	for {
		if len(s.buf) == cap(s.buf) {
			if err := s.room(); err != nil {
				s.Close()
				return nil, err
			}
		}
		n, err := r.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf, s.size = s.buf[:len(s.buf)+n], s.size+int64(n)
		if err == io.EOF {
			return s, nil
		}
		if err != nil {
			s.Close()
			return nil, err
		}
	}
}

// Size returns the length of the message, octets.
func (s *Spool) Size() int64 { return s.size }

// room makes room in buf: by a larger one, or by moving it to the file.
func (s *Spool) room() error {
	more := int64(max(firstPiece, cap(s.buf)))
	grow := s.file == nil && (s.dir.path == "" || int64(cap(s.buf))+more <= InMemory)
	if grow && s.dir.memory.TryAcquire(more) {
		buf := make([]byte, len(s.buf), s.taken+more)
		copy(buf, s.buf)
		s.buf, s.taken = buf, s.taken+more
		return nil
	}
	if s.dir.path == "" || cap(s.buf) == 0 {
		return problem.Unavailable.Errorf("too many messages at once")
	}
	if err := s.spill(); err != nil {
		return problem.Unavailable.Errorf("no room for the message: %w", err)
	}
	return nil
}

// spill moves buf to the file.
func (s *Spool) spill() error {
	if s.file == nil {
		if err := s.create(); err != nil {
			return err
		}
	}
	if _, err := s.file.Write(s.aead.Seal(nil, s.nonce(len(s.pieces)), s.buf, nil)); err != nil {
		return err
	}
	s.pieces = append(s.pieces, len(s.buf))
	s.buf = s.buf[:0]
	return nil
}

func (s *Spool) create() error {
	var key [32]byte
	rand.Read(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return err
	}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir.path, "spool-")
	if err != nil {
		return err
	}
	s.file = f
	return os.Remove(f.Name())
}

func (s *Spool) nonce(piece int) []byte {
	n := make([]byte, s.aead.NonceSize())
	binary.BigEndian.PutUint64(n[len(n)-8:], uint64(piece))
	return n
}

// Bytes returns the message. Of a small one it is the spool's own memory,
// which must not be used after Close.
func (s *Spool) Bytes() ([]byte, error) {
	if s.file == nil {
		return s.buf, nil
	}
	all := make([]byte, 0, s.size)
	at := int64(0)
	for i, n := range s.pieces {
		sealed := make([]byte, n+s.aead.Overhead())
		if _, err := s.file.ReadAt(sealed, at); err != nil {
			return nil, fmt.Errorf("reading a spool file: %w", err)
		}
		at += int64(len(sealed))
		var err error
		if all, err = s.aead.Open(all, s.nonce(i), sealed, nil); err != nil {
			return nil, fmt.Errorf("opening a spool file: %w", err)
		}
	}
	return append(all, s.buf...), nil
}

// Close gives back memory and disk.
func (s *Spool) Close() {
	s.dir.memory.Release(s.taken)
	s.taken, s.buf = 0, nil
	if s.file != nil {
		s.file.Close() // It has no name and is not needed any more.
		s.file = nil
	}
}
