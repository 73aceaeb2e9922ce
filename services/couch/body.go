package couch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-kivik/kivik/v4"

	"leap.example/services/protocol/problem"
)

// Bytes are kept as an attachment of the document that describes them, always
// as application/octet-stream, with a checksum of our own in the document: the
// digests of the implementations differ (database.md section 12).
const (
	bodyName = "body"
	bodyType = "application/octet-stream"
	// maxInline is up to what size a body is sent within its document.
	maxInline = 4 << 20
)

// bodyMeta are the members of a document that describes a body. Without SHA256
// the document is not there yet: its body was uploaded, and then a crash came.
type bodyMeta struct {
	meta

	Size        int64                 `json:"size"`
	SHA256      string                `json:"sha256,omitempty"` // Hex.
	Attachments map[string]attachment `json:"_attachments,omitempty"`
}

// attachment is a stub, as it was read, or the data of a new one.
type attachment struct {
	ContentType string  `json:"content_type"`
	Data        *string `json:"data,omitempty"` // Base64.
	Stub        bool    `json:"stub,omitempty"`
	Digest      string  `json:"digest,omitempty"`
	RevPos      int     `json:"revpos,omitempty"`
	Length      int64   `json:"length,omitempty"`
}

func (m *bodyMeta) described() *bodyMeta { return m }

// A bodyDoc is a document that embeds bodyMeta.
type bodyDoc interface{ described() *bodyMeta }

// putBody creates a document with a body; Exist when there is one. Nobody sees
// the one without the other.
func (d database) putBody(ctx context.Context, id string, doc bodyDoc, data []byte) error {
	m := doc.described()
	sum := sha256.Sum256(data)
	m.ID, m.Rev, m.Size, m.SHA256 = id, "", int64(len(data)), hex.EncodeToString(sum[:])
	if len(data) <= maxInline {
		text := base64.StdEncoding.EncodeToString(data)
		m.Attachments = map[string]attachment{bodyName: {ContentType: bodyType, Data: &text}}
		_, err := d.create(ctx, id, doc)
		if problem.KindOf(err) != problem.Exist {
			return err
		}
	}
	for range maxAttempts {
		stub, err := d.upload(ctx, id, data)
		if err != nil {
			return err
		}
		m.Rev, m.Attachments = stub.Rev, stub.Attachments
		if _, err = d.update(ctx, id, doc); problem.KindOf(err) != problem.Stale {
			return err
		}
	}
	return problem.Unavailable.Errorf("%s is being changed", d.noun)
}

// upload stores a body under an id that has no description yet, and returns
// what the database then knows of it.
func (d database) upload(ctx context.Context, id string, data []byte) (have bodyMeta, err error) {
	for range maxAttempts {
		have = bodyMeta{}
		err = d.get(ctx, id, &have)
		if err != nil && problem.KindOf(err) != problem.NotExist {
			return have, err
		}
		if have.SHA256 != "" {
			return have, problem.Exist.Errorf("%s exists", d.noun)
		}
		err = attempts(ctx, func(ctx context.Context, unclear bool) error {
			var options []kivik.Option
			if have.Rev != "" {
				options = append(options, kivik.Rev(have.Rev))
			}
			_, err := d.kivik.PutAttachment(ctx, id, &kivik.Attachment{
				Filename: bodyName, ContentType: bodyType, Content: io.NopCloser(bytes.NewReader(data)),
			}, options...)
			if unclear && isStatus(err, http.StatusConflict) {
				return nil // Ours or another's: what is there is read next.
			}
			return err
		})
		if err = d.failed("storing", err); problem.KindOf(err) == problem.Stale {
			continue
		}
		if err != nil {
			return have, err
		}
		have = bodyMeta{}
		if err = d.get(ctx, id, &have); err != nil {
			return have, err
		}
		if have.Attachments[bodyName].Length == int64(len(data)) && have.SHA256 == "" {
			return have, nil
		}
	}
	return have, problem.Unavailable.Errorf("%s is being changed", d.noun)
}

var errDamaged = errors.New("the stored bytes are not those of the checksum")

// body reads a document and its body; NotExist when there is none.
func (d database) body(ctx context.Context, id string, doc bodyDoc) (data []byte, err error) {
	if err := d.get(ctx, id, doc); err != nil {
		return nil, err
	}
	m := doc.described()
	if m.SHA256 == "" || m.Attachments[bodyName].ContentType == "" {
		return nil, problem.NotExist.Errorf("no such %s", d.noun)
	}
	err = read(ctx, func(ctx context.Context) error {
		att, err := d.kivik.GetAttachment(ctx, id, bodyName)
		if err != nil {
			return err
		}
		defer att.Content.Close()
		data, err = io.ReadAll(io.LimitReader(att.Content, m.Size+1))
		return err
	})
	if err != nil {
		return nil, d.failed("reading", err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != m.SHA256 {
		return nil, fmt.Errorf("reading %s: %w", d.noun, errDamaged)
	}
	return data, nil
}
