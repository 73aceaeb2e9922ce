package delta

import "errors"

// Why Build, Apply and Unpack end, wrapped. What was written before such an error
// is worth nothing.
var (
	// ErrFormat is a file that is none of this package's, or is damaged.
	ErrFormat = errors.New("it is no delta or packed file that can be read: fetch it anew, or the full file")
	// ErrBase is a delta between other files than those that are asked for.
	ErrBase = errors.New("the delta is between other files: fetch the full file")
	// ErrSeek is a delta that reads beside the old file.
	ErrSeek = errors.New("the delta reads outside of the old file: fetch the full file")
	// ErrLong is what would make more than it should.
	ErrLong = errors.New("it makes more bytes than it says: fetch the full file")
	// ErrShort is what makes less than it should, as if it were cut off.
	ErrShort = errors.New("it ends before all bytes are made: fetch it anew, or the full file")
	// ErrTrailing is data behind the end.
	ErrTrailing = errors.New("something follows its end: fetch the full file")
	// ErrWindow is what needs more memory to be unpacked than it may.
	ErrWindow = errors.New("it needs more memory to be unpacked than it may: fetch the full file")
	// ErrResult is a file that is not what it should be.
	ErrResult = errors.New("what comes out is not the file that it should be: fetch the full file")
	// ErrTooLarge is a file beyond [MaxFile].
	ErrTooLarge = errors.New("the file is too large for a delta: ship the full file alone")
)
