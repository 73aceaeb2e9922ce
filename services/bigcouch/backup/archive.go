package backup

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Version is the form of backups that this program writes. It reads no other.
const Version = 1

const magic = "leap-couch-backup "

// Bounds of what a reader takes.
const (
	maxLine  = 64 << 10
	maxBlock = 1 << 20
	maxPart  = 16 << 20 // Of JSON.
	maxFrame = 8 << 20  // Window of zstd.
)

// ErrMalformed means that something is no backup, or not a whole one.
var ErrMalformed = errors.New("not a whole backup")

// ErrVersion means that a backup was written by a later release.
var ErrVersion = errors.New("backup of another version")

// ErrIdentity means that no identity opens the backup.
var ErrIdentity = errors.New("none of the identities opens the backup")

// A Header is what everybody may know of a backup.
type Header struct {
	Node  string    `json:"node"`
	Time  time.Time `json:"time"`            // When it was begun, UTC, in milliseconds.
	Stale []uint16  `json:"stale,omitempty"` // Shards that no majority has confirmed: what was written last may not be in it.
}

// A Manifest says what a backup holds.
type Manifest struct {
	Header
	Format  int      `json:"format"`            // Of the store.
	Total   int      `json:"total"`             // How many shards the database has, with the catalogue.
	Cluster []string `json:"cluster,omitempty"` // Names of all nodes. Empty: a node by itself.
	Shards  []Shard  `json:"shards"`            // In ascending order.
}

// A Shard is one that is in a backup, and where it was.
type Shard struct {
	Shard uint16 `json:"shard"`
	Index uint64 `json:"index"`
	Term  uint64 `json:"term,omitempty"`
	Epoch uint64 `json:"epoch,omitempty"`
	Time  int64  `json:"time"` // Of its latest entry, Unix milliseconds.
}

// A Sum is what a shard must come to.
type Sum struct {
	Shard  uint16 `json:"shard"`
	Bytes  int64  `json:"bytes"`  // Of its part.
	Digest string `json:"digest"` // Of store.Snapshot.Sum, hex.
}

// ParseRecipients reads recipients as age has them: "age1…".
func ParseRecipients(list []string) (all []age.Recipient, err error) {
	for _, s := range list {
		var r age.Recipient
		r, err = age.ParseX25519Recipient(s)
		if err != nil {
			if r, err = age.ParseHybridRecipient(s); err != nil {
				return nil, fmt.Errorf("recipient %.20q: %w", s, err)
			}
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, errors.New("no recipient is named")
	}
	return all, nil
}

// A Writer writes one backup.
type Writer struct {
	age  io.WriteCloser
	zstd *zstd.Encoder
	m    Manifest
	sums []Sum
}

// NewWriter begins a backup.
func NewWriter(w io.Writer, m Manifest, to []age.Recipient) (*Writer, error) {
	head, err := json.Marshal(m.Header)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(w, "%s%d\n%s\n", magic, Version, head); err != nil {
		return nil, err
	}
	out := &Writer{m: m}
	if out.age, err = age.Encrypt(w, to...); err != nil {
		return nil, err
	}
	out.zstd, err = zstd.NewWriter(out.age, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxFrame/2), zstd.WithEncoderCRC(true))
	if err == nil {
		err = out.json(m)
	}
	return out, err
}

func (w *Writer) json(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.part(func(p io.Writer) error { _, err := p.Write(data); return err })
	return err
}

// part writes one part and returns its size.
func (w *Writer) part(f func(io.Writer) error) (int64, error) {
	b := &blocks{w: w.zstd}
	bw := bufio.NewWriterSize(b, 256<<10)
	err := f(bw)
	if err == nil {
		err = bw.Flush()
	}
	if err == nil {
		_, err = w.zstd.Write(make([]byte, 4))
	}
	return b.n, err
}

// blocks writes blocks, each with its length.
type blocks struct {
	w io.Writer
	n int64
}

func (b *blocks) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		piece := p[:min(len(p), maxBlock)]
		p = p[len(piece):]
		if _, err := b.w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(piece)))); err != nil {
			return n, err
		}
		k, err := b.w.Write(piece)
		n += k
		b.n += int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Shard writes the next shard of the manifest. send writes what is in it and
// returns the digest.
func (w *Writer) Shard(n uint16, send func(io.Writer) ([32]byte, error)) error {
	if len(w.sums) >= len(w.m.Shards) || w.m.Shards[len(w.sums)].Shard != n {
		return fmt.Errorf("backup: shard %d is not the next of the manifest", n)
	}
	var digest [32]byte
	size, err := w.part(func(p io.Writer) (err error) {
		digest, err = send(p)
		return err
	})
	w.sums = append(w.sums, Sum{n, size, hex.EncodeToString(digest[:])})
	return err
}

// Close ends the backup. One that was not closed is not whole.
func (w *Writer) Close() error {
	if len(w.sums) != len(w.m.Shards) {
		return errors.New("backup: not all shards of the manifest were written")
	}
	if err := w.json(w.sums); err != nil {
		return err
	}
	return errors.Join(w.zstd.Close(), w.age.Close())
}

// Abandon gives up a backup that was not closed.
func (w *Writer) Abandon() { _ = w.zstd.Close() } // Frees its memory; what it writes is not whole.
