package store

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// ErrEntry means that an entry of the log was written by a later release, or is
// damaged: what it does cannot be known, and the log cannot be followed on.
var ErrEntry = errors.New("entry of the log cannot be read")

// commands are the commands that may stand in a log, by their number. Numbers
// are never used again, members of commands are never renamed.
var commands = map[byte]func(*codec.Decoder) (Command, error){
	1:  decode[WriteDocs],
	2:  decode[WriteChunk],
	3:  decode[DropUpload],
	4:  decode[WriteLocal],
	5:  decode[OpenDatabase],
	6:  decode[DropDatabase],
	7:  decode[CreateDatabase],
	8:  decode[SetState],
	9:  decode[SetSecurity],
	10: decode[ForgetDatabase],
	11: decode[Digest],
	12: decode[NameHistory],
	13: decode[Purge],
	14: decode[SetRevsLimit],
	15: decode[SetPurgedInfosLimit],
	16: decode[CreateSpread],
	17: decode[RaiseVersion],
}

// number returns the number of a command in commands.
func number(c Command) byte {
	switch c.(type) {
	case WriteDocs:
		return 1
	case WriteChunk:
		return 2
	case DropUpload:
		return 3
	case WriteLocal:
		return 4
	case OpenDatabase:
		return 5
	case DropDatabase:
		return 6
	case CreateDatabase:
		return 7
	case SetState:
		return 8
	case SetSecurity:
		return 9
	case ForgetDatabase:
		return 10
	case Digest:
		return 11
	case NameHistory:
		return 12
	case Purge:
		return 13
	case SetRevsLimit:
		return 14
	case SetPurgedInfosLimit:
		return 15
	case CreateSpread:
		return 16
	case RaiseVersion:
		return 17
	}
	panic(fmt.Sprintf("store: %T has no number", c))
}

func decode[T Command](d *codec.Decoder) (Command, error) {
	var c T
	err := d.Decode(&c)
	return c, err
}

// msgpack is the form of commands: maps by the names of members, so that a
// member can be added. What a reader does not know it passes over.
var msgpack = func() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.ErrorIfNoField = false
	h.MaxInitLen = 1 << 16
	return h
}()

// Encode returns the form of e in a log: the lowest version that has all that is
// in it, op id, time, the command's number, the command.
func (e Entry) Encode() ([]byte, error) {
	var b bytes.Buffer
	b.Grow(e.Size())
	b.WriteByte(e.version())
	b.Write(e.Op[:])
	b.Write(u64(uint64(e.Time)))
	b.WriteByte(number(e.Cmd))
	if err := codec.NewEncoder(&b, msgpack).Encode(e.Cmd); err != nil {
		return nil, fmt.Errorf("encoding an entry: %w", err)
	}
	return b.Bytes(), nil
}

// entryHead is how many bytes lie before the command.
const entryHead = 1 + len(OpID{}) + 8 + 1

// DecodeEntry reads what Encode has made. It keeps data.
func DecodeEntry(data []byte) (e Entry, err error) {
	if len(data) < entryHead {
		return e, fmt.Errorf("%w: it is short", ErrEntry)
	}
	if data[0] > EntryVersion {
		return e, laterEntry(data[0], EntryVersion)
	}
	if data[0] < firstVersion {
		return e, fmt.Errorf("%w: version %d", ErrEntry, data[0])
	}
	copy(e.Op[:], data[1:])
	for _, c := range data[1+len(e.Op) : entryHead-1] {
		e.Time = e.Time<<8 | int64(c)
	}
	read := commands[data[entryHead-1]]
	if read == nil {
		return e, fmt.Errorf("%w: command %d is not known", ErrEntry, data[entryHead-1])
	}
	defer func() { // The library panics on some malformed input.
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrEntry, p)
		}
	}()
	if e.Cmd, err = read(codec.NewDecoderBytes(data[entryHead:], msgpack)); err != nil {
		return e, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	if w, ok := e.Cmd.(WriteDocs); ok && !w.valid() {
		return e, fmt.Errorf("%w: documents that cannot be", ErrEntry)
	}
	if r, ok := e.Cmd.(RaiseVersion); ok && (r.Version < firstVersion || r.Version > uint64(data[0])) {
		return e, fmt.Errorf("%w: version %d in an entry of version %d", ErrEntry, r.Version, data[0])
	}
	return e, nil
}

// valid reports whether applying w makes sense: what comes from another node is
// looked at before it is in the log for good.
func (w WriteDocs) valid() bool {
	for _, d := range w.Docs {
		if w.Replicated && len(d.Path) == 0 && d.Refused == nil {
			return false
		}
		for _, a := range d.Atts {
			if a.Length < 0 || a.Length > maxAttachment {
				return false
			}
		}
	}
	return true
}

// maxAttachment bounds what an entry may say of an attachment, in bytes.
const maxAttachment = 1 << 40
