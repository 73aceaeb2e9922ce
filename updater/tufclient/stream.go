package tufclient

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// A stream reads a target from one source, from its beginning to its end, and goes
// on where the source breaks off. At the end, and not before, it is known to be
// the target: who reads it must be able to stand anything.
type stream struct {
	ctx    context.Context
	target *Target
	src    Source

	from   io.ReadCloser // Nil: not open.
	sums   sums
	have   int64 // How much was read.
	total  int64 // The same, and what was too much.
	broken int   // How often it broke off.
	err    error // Why there is no more, other than that it is whole.
}

// begin asks the source for the beginning.
func (s *stream) begin() (err error) {
	if s.sums, err = newSums(s.target.hashes); err == nil {
		err = s.open()
	}
	return err
}

func (s *stream) open() (err error) {
	s.from, err = s.target.repo.limits.open(s.ctx, s.src, s.target.name, s.target.Length, s.have)
	return err
}

// Read implements io.Reader.
func (s *stream) Read(b []byte) (n int, err error) {
	for n == 0 && s.err == nil && err == nil {
		n, err = s.read(b)
		if err != nil && !errors.Is(err, io.EOF) && s.again(err) {
			err = nil
		}
	}
	switch {
	case s.err != nil:
		return 0, s.err
	case err != nil && !errors.Is(err, io.EOF):
		s.err = err
	}
	return n, err
}

// read reads from the source, where it is; io.EOF is the end of the target.
func (s *stream) read(b []byte) (int, error) {
	if s.from == nil {
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	n, err := s.from.Read(b)
	s.total += int64(n)
	if int64(n) > s.target.Length-s.have {
		return 0, fmt.Errorf("%w: it has more than %d bytes", ErrLength, s.target.Length)
	}
	_, _ = s.sums.Write(b[:n]) // Never an error.
	s.have += int64(n)
	switch {
	case !errors.Is(err, io.EOF):
		return n, err
	case s.have < s.target.Length:
		return n, fmt.Errorf("%w: %d bytes of %d: %w", ErrLength, s.have, s.target.Length, io.ErrUnexpectedEOF)
	case !s.sums.right():
		return n, fmt.Errorf("%w: %s", ErrHash, s.target.Path)
	}
	return n, io.EOF
}

// again reports whether the source is asked once more after an error.
func (s *stream) again(err error) bool {
	s.close()
	s.broken++
	return s.have > 0 && s.broken < rounds && s.ctx.Err() == nil && !errors.Is(err, ErrSlow) && !errors.Is(err, ErrRange) && !wrong(err)
}

// end reads what is left: nothing, or it is an error.
func (s *stream) end() error {
	n, err := io.Copy(io.Discard, s)
	if err == nil && n > 0 {
		err = fmt.Errorf("%w: it is longer than what it holds", ErrLength)
	}
	return err
}

func (s *stream) close() {
	if s.from != nil {
		_ = s.from.Close() // What was read is judged by what it is.
		s.from = nil
	}
}
