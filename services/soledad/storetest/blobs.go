package storetest

import (
	"context"
	"slices"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// PutBlob implements soledad.Blobs.
func (u *UserDB) PutBlob(_ context.Context, ns, id string, body []byte) error {
	d, unlock, err := u.open()
	if err != nil {
		return err
	}
	defer unlock()
	k := blobKey{ns, id}
	if b := d.blobs[k]; b != nil && !b.Deleted {
		return problem.Exist.Errorf("blob exists")
	}
	d.blobs[k] = &stored{record.Blob{ID: id, Size: int64(len(body)), Created: time.Now()}, slices.Clone(body)}
	d.change()
	return nil
}

// blob returns a blob that is not deleted, and the lock of its database.
func (u *UserDB) blob(ns, id string) (b *stored, d *database, unlock func(), err error) {
	d, unlock, err = u.open()
	if err != nil {
		return nil, nil, nil, err
	}
	b = d.blobs[blobKey{ns, id}]
	if b == nil || b.Deleted {
		unlock()
		return nil, nil, nil, problem.NotExist.Errorf("no such blob")
	}
	return b, d, unlock, nil
}

// Blob implements soledad.Blobs.
func (u *UserDB) Blob(_ context.Context, ns, id string) ([]byte, error) {
	b, _, unlock, err := u.blob(ns, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return b.body, nil
}

// Blobs implements soledad.Blobs.
func (u *UserDB) Blobs(_ context.Context, ns string) ([]record.Blob, error) {
	d, unlock, err := u.open()
	if err != nil {
		return nil, err
	}
	defer unlock()
	var list []record.Blob
	for k, b := range d.blobs {
		if k.ns == ns {
			list = append(list, b.Blob)
		}
	}
	return list, nil
}

// SetBlobFlags implements soledad.Blobs.
func (u *UserDB) SetBlobFlags(_ context.Context, ns, id string, flags []string) error {
	b, d, unlock, err := u.blob(ns, id)
	if err != nil {
		return err
	}
	defer unlock()
	b.Flags = slices.Clone(flags)
	d.change()
	return nil
}

// DeleteBlob implements soledad.Blobs.
func (u *UserDB) DeleteBlob(_ context.Context, ns, id string) error {
	b, d, unlock, err := u.blob(ns, id)
	if err != nil {
		return err
	}
	defer unlock()
	b.body, b.Size, b.Flags, b.Deleted = nil, 0, nil, true
	d.change()
	return nil
}

// BlobBytes implements soledad.Blobs.
func (u *UserDB) BlobBytes(context.Context) (int64, error) {
	d, unlock, err := u.open()
	if err != nil {
		return 0, err
	}
	defer unlock()
	var sum int64
	for _, b := range d.blobs {
		sum += b.Size
	}
	return sum, nil
}
