package couch

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

const blobPrefix = "blob-"

// blobDoc is a blob as it is stored. A deleted one stays as a marker, without
// body.
type blobDoc struct {
	bodyMeta

	Flags     []string  `json:"flags,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	Gone      bool      `json:"gone,omitempty"`
}

// blobID returns the id of a blob; namespaces and ids are [a-zA-Z0-9._-]+.
func (u *UserDB) blobID(ns, id string) (string, error) {
	if !plainName(ns) || !plainName(id) {
		return "", problem.Invalid.Errorf("malformed name of a blob")
	}
	return blobPrefix + ns + ":" + id, u.err
}

func (u *UserDB) blobs() database {
	d := u.db
	d.noun = "blob"
	return d
}

// PutBlob stores a blob; Exist when there is one of that name. It takes the
// place of a deleted one.
func (u *UserDB) PutBlob(ctx context.Context, ns, id string, body []byte) error {
	key, err := u.blobID(ns, id)
	if err != nil {
		return err
	}
	created := u.db.db.now().UTC().Truncate(time.Second)
	for range maxContenders {
		err := u.blobs().putBody(ctx, key, &blobDoc{CreatedAt: created}, body)
		if problem.KindOf(err) != problem.Exist {
			return err
		}
		var old blobDoc
		e := u.blobs().get(ctx, key, &old)
		if e == nil && !old.Gone {
			return err
		}
		if e == nil {
			e = u.blobs().remove(ctx, key, old.Rev)
		}
		if k := problem.KindOf(e); e != nil && k != problem.NotExist && k != problem.Stale {
			return e
		}
	}
	return problem.Unavailable.Errorf("the blob is being changed")
}

// Blob returns the octets of a blob; NotExist when there is none.
func (u *UserDB) Blob(ctx context.Context, ns, id string) ([]byte, error) {
	key, err := u.blobID(ns, id)
	if err != nil {
		return nil, err
	}
	return u.blobs().body(ctx, key, &blobDoc{})
}

// Blobs returns the blobs of a namespace by id, with the markers of deleted
// ones.
func (u *UserDB) Blobs(ctx context.Context, ns string) ([]record.Blob, error) {
	if !plainName(ns) {
		return nil, problem.Invalid.Errorf("malformed namespace")
	}
	out := []record.Blob{}
	err := u.eachBlob(ctx, blobPrefix+ns+":", func(d blobDoc) {
		_, id, _ := strings.Cut(d.ID, ":")
		out = append(out, record.Blob{ID: id, Size: d.Size, Flags: d.Flags, Created: d.CreatedAt, Deleted: d.Gone})
	})
	return out, err
}

// BlobBytes returns the size of all blobs in all namespaces.
func (u *UserDB) BlobBytes(ctx context.Context) (int64, error) {
	var sum int64
	err := u.eachBlob(ctx, blobPrefix, func(d blobDoc) { sum += d.Size })
	return sum, err
}

// eachBlob calls f for the blobs whose id begins with p.
func (u *UserDB) eachBlob(ctx context.Context, p string, f func(blobDoc)) error {
	if u.err != nil {
		return u.err
	}
	last := ""
	for span := prefix(p, maxDocuments); ; {
		docs, err := u.blobs().list(ctx, span)
		if err != nil {
			return err
		}
		for _, raw := range docs {
			var d blobDoc
			if err := json.Unmarshal(raw, &d); err != nil {
				return fmt.Errorf("reading the blobs: %w", err)
			}
			if d.ID != last && d.SHA256 != "" {
				f(d)
			}
			span.start = d.ID
		}
		if len(docs) < maxDocuments {
			return nil
		}
		last = span.start
	}
}

// SetBlobFlags replaces the flags of a blob; NotExist when there is none.
func (u *UserDB) SetBlobFlags(ctx context.Context, ns, id string, flags []string) error {
	return u.changeBlob(ctx, ns, id, func(d *blobDoc) { d.Flags = slices.Clone(flags) })
}

// DeleteBlob removes a blob and leaves a marker; NotExist when there is none.
func (u *UserDB) DeleteBlob(ctx context.Context, ns, id string) error {
	return u.changeBlob(ctx, ns, id, func(d *blobDoc) {
		d.Gone, d.Size, d.Flags, d.Attachments = true, 0, nil, nil
	})
}

func (u *UserDB) changeBlob(ctx context.Context, ns, id string, change func(*blobDoc)) error {
	key, err := u.blobID(ns, id)
	if err != nil {
		return err
	}
	for range maxContenders {
		var d blobDoc
		if err := u.blobs().get(ctx, key, &d); err != nil {
			return err
		}
		if d.SHA256 == "" || d.Gone {
			return problem.NotExist.Errorf("no such blob")
		}
		change(&d)
		if _, err := u.blobs().update(ctx, key, d); problem.KindOf(err) != problem.Stale {
			return err
		}
	}
	return problem.Unavailable.Errorf("the blob is being changed")
}
