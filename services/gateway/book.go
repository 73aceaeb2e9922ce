package gateway

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"leap.example/services/protocol/lease"
)

// The book is a file in memory (/run) that outlives the process and not the
// machine. It begins with a head, then comes one record for each place of the
// pool, at an offset that the place tells: what ends is overwritten where it
// stands, so that nothing of it is left.
//
//	head    magic 8, boot key 32, IPv4 network 5, IPv6 network 17, 0…, CRC-32
//	record  state 1, plan 1, IPv6 1, 0, lease ID 16, key 32, PSK 32, owner 32,
//	        time 8 (end of the lease, or of the quarantine), CRC-32
const (
	bookName   = "leases"
	bookMagic  = "leapgw1\n"
	headSize   = 128
	recordSize = 128

	stateLease = 1
	stateRest  = 2
)

type book struct {
	f    *os.File
	boot [32]byte // Key of owners.
}

// openBook opens the book in dir and reads it. One of other networks, or one
// that is damaged, is begun anew.
func openBook(dir string, v4, v6 netip.Prefix) (*book, []*row, []freePlace, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, bookName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, nil, err
	}
	b := &book{f: f}
	data, err := io.ReadAll(io.LimitReader(f, headSize+(maxPlaces+1)*recordSize))
	if err != nil {
		return nil, nil, nil, errors.Join(err, f.Close())
	}
	if boot, ok := readHead(data, v4, v6); ok {
		b.boot = boot
		rows, resting := readRecords(data[headSize:])
		return b, rows, resting, nil
	}
	b.boot = random()
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt(head(b.boot, v4, v6), 0)
	}
	if err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("beginning the book of leases: %w", err), f.Close())
	}
	return b, nil, nil, nil
}

// of returns the owner that a certificate stands for: nobody without the boot
// key can tell which certificate it was.
func (b *book) of(certificate []byte) owner {
	h := hmac.New(sha256.New, b.boot[:])
	fingerprint := sha256.Sum256(certificate)
	h.Write(fingerprint[:])
	return owner(h.Sum(nil))
}

// keep writes r.
func (b *book) keep(r *row) error { return b.write(r.place, record(r)) }

// rest writes over the lease of a place.
func (b *book) rest(f freePlace) error { return b.write(f.place, restRecord(f)) }

func (b *book) write(place int, rec []byte) error {
	if _, err := b.f.WriteAt(rec, headSize+int64(place)*recordSize); err != nil {
		return fmt.Errorf("writing the book of leases: %w", err)
	}
	return nil
}

func (b *book) close() error { return b.f.Close() }

func head(boot [32]byte, v4, v6 netip.Prefix) []byte {
	h := make([]byte, headSize)
	copy(h, bookMagic)
	copy(h[8:], boot[:])
	n4, _ := v4.MarshalBinary() // Never fails.
	n6, _ := v6.MarshalBinary()
	copy(h[40:], n4)
	copy(h[48:], n6)
	return seal(h)
}

func readHead(data []byte, v4, v6 netip.Prefix) (boot [32]byte, ok bool) {
	if len(data) < headSize {
		return boot, false
	}
	copy(boot[:], data[8:])
	return boot, bytes.Equal(data[:headSize], head(boot, v4, v6))
}

func record(r *row) []byte {
	rec := make([]byte, recordSize)
	rec[0] = stateLease
	rec[1] = flag(r.plan == lease.Limited)
	rec[2] = flag(r.ipv6)
	copy(rec[4:], r.id[:])
	copy(rec[20:], r.key[:])
	copy(rec[52:], r.psk[:])
	copy(rec[84:], r.owner[:])
	binary.BigEndian.PutUint64(rec[116:], uint64(r.end.Unix()))
	return seal(rec)
}

func restRecord(f freePlace) []byte {
	rec := make([]byte, recordSize)
	rec[0] = stateRest
	binary.BigEndian.PutUint64(rec[116:], uint64(f.from.Unix()))
	return seal(rec)
}

// readRecords reads all that is whole.
func readRecords(data []byte) (rows []*row, resting []freePlace) {
	for place := 0; len(data) >= recordSize; place++ {
		rec := data[:recordSize]
		data = data[recordSize:]
		if !whole(rec) || place < 2 || place > maxPlaces {
			continue
		}
		when := time.Unix(int64(binary.BigEndian.Uint64(rec[116:])), 0).UTC()
		switch rec[0] {
		case stateRest:
			resting = append(resting, freePlace{place, when})
		case stateLease:
			r := &row{
				id: lease.ID(rec[4:20]), key: lease.Key(rec[20:52]), psk: lease.Key(rec[52:84]), owner: owner(rec[84:116]),
				plan: lease.Unlimited, ipv6: rec[2] == 1, place: place, end: when,
			}
			if rec[1] == 1 {
				r.plan = lease.Limited
			}
			rows = append(rows, r)
		}
	}
	return rows, resting
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// seal puts the checksum at the end of b.
func seal(b []byte) []byte {
	n := len(b) - 4
	binary.BigEndian.PutUint32(b[n:], crc32.ChecksumIEEE(b[:n]))
	return b
}

func whole(b []byte) bool {
	n := len(b) - 4
	return binary.BigEndian.Uint32(b[n:]) == crc32.ChecksumIEEE(b[:n])
}
