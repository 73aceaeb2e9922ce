package lease

import (
	"encoding/binary"
	"io"

	"leap.example/services/protocol/problem"
)

// ALPN is the protocol of a TLS connection that carries WireGuard's datagrams,
// each behind its length: 2 bytes, big-endian, 1 to MaxDatagram. The bytes of
// one side are the datagrams that it would send by UDP; nothing answers them
// but the tunnel.
const ALPN = "leap-udp/1"

// MaxDatagram is the greatest length of a framed datagram, bytes: the greatest
// packet of a tunnel and what WireGuard adds to it, with room.
const MaxDatagram = 2048

// AppendFrame appends a datagram behind its length; one that is empty or
// longer than MaxDatagram is Invalid.
func AppendFrame(dst, datagram []byte) ([]byte, error) {
	if len(datagram) == 0 || len(datagram) > MaxDatagram {
		return dst, problem.Invalid.Errorf("a datagram has 1 to %d bytes", MaxDatagram)
	}
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(datagram))), datagram...), nil
}

// ReadFrame reads one datagram into buf, which has MaxDatagram bytes or more,
// and returns its length. At the end of the stream, between two frames, the
// error is io.EOF; inside one it is io.ErrUnexpectedEOF. A length that cannot
// be is Invalid, and the stream is of no more use.
func ReadFrame(r io.Reader, buf []byte) (int, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n == 0 || n > MaxDatagram {
		return 0, problem.Invalid.Errorf("a datagram has 1 to %d bytes", MaxDatagram)
	}
	if _, err := io.ReadFull(r, buf[:n]); err == io.EOF {
		return 0, io.ErrUnexpectedEOF
	} else if err != nil {
		return 0, err
	}
	return n, nil
}
