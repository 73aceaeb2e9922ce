package vnet

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzReadFrame reads a stream of frames to its end: every frame that is read is
// the next piece of the stream, and the end is what it should be.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 7, 0, 0, 0, 2, 8, 9})
	f.Add([]byte{0, 0, 0, 9, 1})
	f.Add([]byte{0, 1, 0x10, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		var again bytes.Buffer
		r := bytes.NewReader(stream)
		for {
			frame, err := readFrame(r)
			if err != nil {
				whole := again.Len() == len(stream)
				if whole != errors.Is(err, io.EOF) {
					t.Fatalf("read %d of %d bytes, and then %v", again.Len(), len(stream), err)
				}
				break
			}
			if len(frame) > maxWire {
				t.Fatalf("a frame of %d bytes", len(frame))
			}
			if err := writeFrame(&again, frame); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(stream, again.Bytes()) {
			t.Fatalf("read %x from %x", again.Bytes(), stream)
		}
	})
}

func TestFrameTooLong(t *testing.T) {
	_, err := readFrame(bytes.NewReader([]byte{0, 2, 0, 0}))
	if !errors.Is(err, errFrame) {
		t.Errorf("a frame of 128 KiB: got %v", err)
	}
	if _, err = readFrame(bytes.NewReader([]byte{0, 0, 0, 4, 1})); !errors.Is(err, errFrame) {
		t.Errorf("a frame that ends early: got %v", err)
	}
}
