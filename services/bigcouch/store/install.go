package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A shard on its way to another node: a magic word, then for each row the
// lengths of its key and its value as uvarints, the key without kind and
// shard, and the value. An empty key ends it.
const streamMagic = "leapshard1\n"

// tableBytes is about how large the tables are that a shard is received into.
const tableBytes = 32 << 20

// maxRowBytes bounds what a stream may ask for: an attachment's chunk or a body.
const maxRowBytes = 128 << 20

// Size returns how many bytes WriteTo writes.
func (s *Snapshot) Size() (int64, error) {
	n := int64(len(streamMagic) + 2)
	var b [2 * binary.MaxVarintLen64]byte
	err := s.rows(func(key, value []byte) error {
		n += int64(len(frame(b[:0], key, value)) + len(key) - 3 + len(value))
		return nil
	})
	return n, err
}

func frame(b, key, value []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(len(key)-3)), uint64(len(value)))
}

// Send writes the shard.
func (s *Snapshot) Send(w io.Writer) error { return s.send(w, nil) }

// SendSum is Send, and Sum in the same pass.
func (s *Snapshot) SendSum(w io.Writer) (sum [32]byte, err error) {
	h := sha256.New()
	err = s.send(w, h)
	return [32]byte(h.Sum(nil)), err
}

// send writes the shard and hashes its rows, if h is not nil.
func (s *Snapshot) send(w io.Writer, h hash.Hash) error {
	bw := bufio.NewWriterSize(w, 256<<10)
	bw.WriteString(streamMagic) // The writer keeps its error for Flush.
	var b [2 * binary.MaxVarintLen64]byte
	err := s.rows(func(key, value []byte) error {
		bw.Write(frame(b[:0], key, value))
		bw.Write(key[3:])
		if h != nil {
			hashPart(h, key)
			hashPart(h, value)
		}
		_, err := bw.Write(value)
		return err
	})
	bw.Write([]byte{0, 0})
	return errors.Join(err, bw.Flush())
}

// An Incoming is a shard that was received but does not yet count: tables
// beside the store.
type Incoming struct {
	s      *Store
	shard  uint16
	tables []string
}

// incomingPrefix begins the names of tables that are not part of the store yet.
const incomingPrefix = "incoming-"

// Receive reads a shard from another node. Nothing changes until Install.
func (s *Store) Receive(shard uint16, r io.Reader) (*Incoming, error) {
	in := &Incoming{s: s, shard: shard}
	if err := in.read(bufio.NewReaderSize(r, 256<<10)); err != nil {
		return nil, errors.Join(fmt.Errorf("receiving shard %d: %w", shard, err), in.Drop())
	}
	return in, nil
}

var errStream = errors.New("malformed stream of a shard")

func (in *Incoming) read(r *bufio.Reader) error {
	magic := make([]byte, len(streamMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return err
	}
	if string(magic) != streamMagic {
		return errStream
	}
	prefix, _ := shardSpan(kindData, in.shard)
	var w *sstable.Writer
	size := 0
	for {
		key, value, err := readRow(r, prefix)
		if err == nil && w != nil && (key == nil || size > tableBytes) {
			err, w = w.Close(), nil
		}
		if err == nil && key == nil {
			return nil
		}
		if err == nil && w == nil {
			w, err = in.table()
			size = 0
		}
		if err == nil {
			size += len(key) + len(value)
			err = w.Set(key, value) // Refuses a key out of order.
		}
		if err != nil {
			if w != nil {
				err = errors.Join(err, w.Close())
			}
			return err
		}
	}
}

// readRow returns the next row, a nil key at the end.
func readRow(r *bufio.Reader, prefix []byte) (key, value []byte, err error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, nil, noEOF(err)
	}
	m, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, nil, noEOF(err)
	}
	if n > maxRowBytes || m > maxRowBytes || n == 0 && m > 0 {
		return nil, nil, errStream
	}
	if n == 0 {
		return nil, nil, nil
	}
	row := make([]byte, len(prefix)+int(n)+int(m))
	at := copy(row, prefix)
	if _, err := io.ReadFull(r, row[at:]); err != nil {
		return nil, nil, noEOF(err)
	}
	at += int(n)
	return row[:at:at], row[at:], nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// table begins the next table.
func (in *Incoming) table() (*sstable.Writer, error) {
	fs := in.s.opts.FS
	path := fs.PathJoin(in.s.opts.Dir, incomingPrefix+strconv.Itoa(int(in.shard))+"-"+strconv.Itoa(len(in.tables))+".sst")
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	in.tables = append(in.tables, path)
	return sstable.NewWriter(objstorageprovider.NewFileWritable(f), sstable.WriterOptions{
		TableFormat: in.s.db.FormatMajorVersion().MaxTableFormat(), FilterPolicy: filter, FilterType: pebble.TableFilter,
	}), nil
}

// Install puts what was received in the place of what this node has of the
// shard, in one step: after a crash there is the one or the other. Rows that
// are derived are dropped before, and built again when they are asked for.
func (in *Incoming) Install() error {
	s := in.s
	owner := s.owner(in.shard)
	owner.Lock()
	defer owner.Unlock()
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	for _, kind := range []byte{kindIndex, kindView} {
		start, end := shardSpan(kind, in.shard)
		if err := s.db.DeleteRange(start, end, pebble.Sync); err != nil {
			return err
		}
	}
	s.installs.note(in.shard)
	start, end := shardSpan(kindData, in.shard)
	_, err := s.db.IngestAndExcise(context.Background(), in.tables, nil, nil, pebble.KeyRange{Start: start, End: end})
	if err != nil {
		return fmt.Errorf("installing shard %d: %w", in.shard, err)
	}
	s.installs.note(in.shard) // For views that began in between.
	s.setExpired(in.shard, nil)
	s.forgetAll()
	s.wakers.wakeAll()
	return nil
}

// Drop removes tables that were not installed.
func (in *Incoming) Drop() (err error) {
	for _, t := range in.tables {
		if e := in.s.opts.FS.Remove(t); e != nil && !strings.Contains(e.Error(), "not exist") {
			err = errors.Join(err, e)
		}
	}
	return err
}

// sweep removes what a crash has left of shards that were being received, and
// witnesses of logs that are gone.
func (s *Store) sweep() error {
	if s.opts.ReadOnly {
		return nil
	}
	names, err := s.opts.FS.List(s.opts.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		base, witness := strings.CutSuffix(name, witnessSuffix)
		if strings.HasPrefix(name, incomingPrefix) || witness && !slices.Contains(names, base+logSuffix) {
			gone := s.opts.FS.Remove(s.opts.FS.PathJoin(s.opts.Dir, name))
			if gone != nil && !errors.Is(gone, fs.ErrNotExist) { // Pebble clears up at the same time.
				err = errors.Join(err, gone)
			}
		}
	}
	return err
}

// DropShard removes what this node has of a shard, but for the values that the
// protocol of its log must not forget (Log.SetValue).
func (s *Store) DropShard(shard uint16) error {
	owner := s.owner(shard)
	owner.Lock()
	defer owner.Unlock()
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	b := s.db.NewBatch()
	defer b.Close()
	for _, kind := range []byte{kindData, kindIndex, kindView, kindLog, kindDigest} {
		start, end := shardSpan(kind, shard)
		if err := b.DeleteRange(start, end, nil); err != nil {
			return err
		}
	}
	s.installs.note(shard)
	err := b.Commit(pebble.Sync)
	s.installs.note(shard)
	s.setExpired(shard, nil)
	s.forgetAll()
	s.wakers.wakeAll() // Feeds of the shard end.
	return err
}
