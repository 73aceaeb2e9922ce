package tufclient

import "fmt"

// A bounded is a file that takes no more than there is room for, by the word of who
// owns the disk.
type bounded struct {
	file

	room func() int64 // Bytes that it may still fill. Nil: all.
}

// Write implements io.Writer. Others fill the disk, too, so it asks each time.
func (b bounded) Write(p []byte) (int, error) {
	if err := b.fits(int64(len(p))); err != nil {
		return 0, err
	}
	return b.file.Write(p)
}

// fits reports with [ErrSpace] that the file may not take n bytes more.
func (b bounded) fits(n int64) error {
	if b.room == nil || n <= 0 {
		return nil
	}
	if left := b.room(); left < n {
		return fmt.Errorf("%w: %d bytes more are needed, and %d may be used", ErrSpace, n, max(left, 0))
	}
	return nil
}
