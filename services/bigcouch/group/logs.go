package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/store"
)

// logs is the log and the stable store of a group, in the node's store.
type logs struct {
	log    *store.Log
	stored watermark // How far the log has come, once known, or the state without it.

	mu          sync.Mutex // Guards what follows: the bounds of the log, once known.
	known       bool
	first, last uint64
}

var (
	_ raft.LogStore          = (*logs)(nil)
	_ raft.StableStore       = (*logs)(nil)
	_ raft.MonotonicLogStore = (*logs)(nil)
)

// entryHead is how many bytes of a stored entry lie before its data: type, term,
// time of appending, length of extensions.
const entryHead = 1 + 8 + 8 + 4

func encodeLog(l *raft.Log) []byte {
	b := make([]byte, 0, entryHead+len(l.Extensions)+len(l.Data))
	b = append(b, byte(l.Type))
	b = binary.BigEndian.AppendUint64(b, l.Term)
	b = binary.BigEndian.AppendUint64(b, uint64(l.AppendedAt.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Extensions)))
	return append(append(b, l.Extensions...), l.Data...)
}

var errEntry = errors.New("malformed entry in the log")

func decodeLog(index uint64, b []byte, l *raft.Log) error {
	if len(b) < entryHead {
		return errEntry
	}
	l.Index, l.Type, l.Term = index, raft.LogType(b[0]), binary.BigEndian.Uint64(b[1:])
	l.AppendedAt = time.Unix(0, int64(binary.BigEndian.Uint64(b[9:])))
	n := int(binary.BigEndian.Uint32(b[17:]))
	if n > len(b)-entryHead {
		return errEntry
	}
	l.Extensions, l.Data = b[entryHead:entryHead+n], b[entryHead+n:]
	return nil
}

// bounds returns the first and last index. The caller holds mu.
func (l *logs) bounds() (first, last uint64, err error) {
	if !l.known {
		if l.first, l.last, err = l.log.Bounds(); err != nil {
			return 0, 0, err
		}
		l.known = true
		l.stored.raise(l.last)
	}
	return l.first, l.last, nil
}

// FirstIndex implements raft.LogStore.
func (l *logs) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, _, err := l.bounds()
	return first, err
}

// LastIndex implements raft.LogStore.
func (l *logs) LastIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, last, err := l.bounds()
	return last, err
}

// GetLog implements raft.LogStore.
func (l *logs) GetLog(index uint64, out *raft.Log) error {
	b, err := l.log.Get(index)
	if err != nil {
		return err
	}
	if b == nil {
		return raft.ErrLogNotFound
	}
	return decodeLog(index, b, out)
}

// StoreLog implements raft.LogStore.
func (l *logs) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// StoreLogs implements raft.LogStore.
func (l *logs) StoreLogs(entries []*raft.Log) error {
	if len(entries) == 0 {
		return nil
	}
	from := entries[0].Index
	rows := make([][]byte, len(entries))
	for i, e := range entries {
		if e.Index != from+uint64(i) {
			return fmt.Errorf("entries with a gap: %d after %d", e.Index, from+uint64(i)-1)
		}
		rows[i] = encodeLog(e)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	first, last, err := l.bounds()
	if err != nil {
		return err
	}
	if err := l.log.Append(from, rows); err != nil {
		return err
	}
	if first == 0 || from < first {
		l.first = from
	}
	l.last = max(last, from+uint64(len(rows))-1)
	l.stored.raise(l.last)
	return nil
}

// DeleteRange implements raft.LogStore.
func (l *logs) DeleteRange(from, to uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = false // Looked up again.
	return l.log.Delete(from, to)
}

// IsMonotonic implements raft.MonotonicLogStore: after an installed snapshot the
// whole log goes.
func (l *logs) IsMonotonic() bool { return true }

// errNotFound is what the library compares the text of.
var errNotFound = errors.New("not found")

// Set implements raft.StableStore.
func (l *logs) Set(key, value []byte) error { return l.log.SetValue(key, value) }

// Get implements raft.StableStore.
func (l *logs) Get(key []byte) ([]byte, error) {
	v, err := l.log.Value(key)
	if err == nil && v == "" {
		err = errNotFound
	}
	return []byte(v), err
}

// SetUint64 implements raft.StableStore.
func (l *logs) SetUint64(key []byte, n uint64) error {
	return l.Set(key, binary.BigEndian.AppendUint64(nil, n))
}

// GetUint64 implements raft.StableStore.
func (l *logs) GetUint64(key []byte) (uint64, error) {
	v, err := l.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, errEntry
	}
	return binary.BigEndian.Uint64(v), nil
}

// reaches returns the highest index, not above commit, whose entry changes the
// state: what a reader has to wait for. Entries by which the library asserts
// leadership never reach the state.
func (l *logs) reaches(commit uint64) (uint64, error) {
	for ; commit > 0; commit-- {
		b, err := l.log.Get(commit)
		if err != nil {
			return 0, err
		}
		if len(b) == 0 {
			return 0, nil // Trimmed: the state has it.
		}
		if t := raft.LogType(b[0]); t == raft.LogCommand || t == raft.LogConfiguration {
			return commit, nil
		}
	}
	return 0, nil
}
