package vnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// MTU is the largest IP packet on the LAN, in bytes.
	MTU = 1500
	// MaxFrame is the largest Ethernet frame that the switch passes on: a header
	// with a VLAN tag, and MTU bytes.
	MaxFrame = MTU + headerLen + 4

	headerLen = 14
	// maxWire is the longest frame that QEMU ever writes (net/net.h, NET_BUFSIZE).
	maxWire = 4096 + 65536
)

// errFrame means that what a port receives are not frames any more.
var errFrame = errors.New("not a frame")

// readFrame reads one frame as QEMU's "-netdev stream" writes it: length in four
// bytes, big-endian, then the frame. The slice is the caller's. The error is
// io.EOF only between two frames.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxWire {
		return nil, fmt.Errorf("%w: %d bytes long", errFrame, n)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, io.ErrUnexpectedEOF)
	}
	return frame, nil
}

// writeFrame writes one frame in one Write.
func writeFrame(w io.Writer, frame []byte) error {
	b := make([]byte, 0, 4+len(frame))
	b = binary.BigEndian.AppendUint32(b, uint32(len(frame)))
	_, err := w.Write(append(b, frame...))
	return err
}

// A mac is an Ethernet address.
type mac [6]byte

// multicast reports whether a is a group or the broadcast address.
func (a mac) multicast() bool { return a[0]&1 != 0 }

// addresses returns the receiver and the sender of a frame that has a header.
func addresses(frame []byte) (dst, src mac) {
	return mac(frame[0:6]), mac(frame[6:12])
}
