package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"leap.example/appliance/gpt"
)

// Flash copies the disk image in the file image to target, which is a whole
// block device, a file that is there, or a file to be made. A target that is
// larger than the image gets a larger perm. All that target held is lost.
// progress may be nil; bytes count twice, when written and when read back. ctx
// ends the work; the target is then without a partition table.
//
// It is an error if target is a device of which a part is in use, or if it is
// smaller than the image.
func Flash(ctx context.Context, target, image string, progress Progress) (err error) {
	from, err := os.Open(image)
	if err != nil {
		return err
	}
	defer from.Close() // Read only.
	size, err := sizeOf(from)
	if err != nil {
		return err
	}
	table, err := gpt.Read(from, size)
	if err != nil {
		return fmt.Errorf("%s: %w", image, err)
	}
	if !table.IsNode() {
		return fmt.Errorf("%s is no disk image of a node", image)
	}

	if same(target, from) {
		return fmt.Errorf("%s is the image itself", target)
	}
	to, err := openTarget(target, size, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := table.Grow(to.size); err != nil {
		return err
	}
	// The table comes last, so that an interrupted copy is no disk of a node.
	start, end := table.Partitions[gpt.ESP-1].Start(), table.Partitions[gpt.Perm-1].Start()+chunk
	w := newWork(progress)
	w.total = 2 * (end - start)
	if err := w.copy(ctx, to, from, start, end, !to.device); err != nil {
		return err
	}
	if err := to.settle(); err != nil {
		return err
	}
	if err := w.compare(ctx, to, from, start, end); err != nil {
		return err
	}
	if err := table.Write(to); err != nil {
		return err
	}
	if err := to.settle(); err != nil {
		return err
	}
	written, err := gpt.Read(to, to.size)
	if err == nil && !written.IsNode() {
		err = errors.New("the partition table reads back as something else: the disk is bad")
	}
	return err
}

// same reports whether path is the file.
func same(path string, file *os.File) bool {
	a, err := os.Stat(path)
	b, err2 := file.Stat()
	return err == nil && err2 == nil && os.SameFile(a, b)
}

// FlashIdentity writes the content of an identity disk, which is small and
// secret, to target: a whole block device, as [Flash] takes it, or a file, which
// only its owner may read.
func FlashIdentity(ctx context.Context, target string, content []byte) (err error) {
	if len(content) == 0 || len(content)%sectorSize != 0 || len(content) > chunk {
		return fmt.Errorf("an identity disk with %d bytes", len(content))
	}
	to, err := openTarget(target, int64(len(content)), 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	w := newWork(nil)
	if err := w.write(ctx, to, content, 0); err != nil {
		return err
	}
	if err := to.settle(); err != nil {
		return err
	}
	return w.compare(ctx, to, bytes.NewReader(content), 0, int64(len(content)))
}
