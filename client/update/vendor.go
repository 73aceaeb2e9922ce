package update

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"leap.example/updater/tufclient"
)

// A Vendor is who makes the client: a root of its repository, and where that is.
// Programs are built with one, and PREFIX/vendor.json takes its place, which only
// who owns the prefix can write.
type Vendor struct {
	Schema int `json:"schema"` // 1.
	// Root is the metadata of a root of the repository. None: the program is one
	// that somebody has built for himself, and has no vendor.
	Root json.RawMessage `json:"root,omitempty"`
	// Sources are URLs of the repository and its mirrors, http or https, in the
	// order in which they are asked. None of them is trusted.
	Sources []string `json:"sources,omitempty"`
}

// ErrVendor is that of a vendor that is no use, wrapped.
var ErrVendor = errors.New("this is no vendor.json: it has schema 1, the root of a repository, and URLs of sources")

// ErrNoVendor is that of a program without a vendor.
var ErrNoVendor = errors.New("this leapc was built without a vendor, so nobody can vouch for an update: build a newer one yourself, or name a vendor with \"leapc update install --root FILE --source URL\"")

const (
	vendorSchema = 1
	maxVendor    = 1 << 20 // Bytes. A root alone may have 512,000.
	maxSources   = 16
)

// ParseVendor reads a vendor, and checks it. One without root and sources is none.
func ParseVendor(data []byte) (v Vendor, err error) {
	if len(data) > maxVendor {
		return v, fmt.Errorf("%w: it has more than %d bytes", ErrVendor, maxVendor)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return Vendor{}, fmt.Errorf("%w: %w", ErrVendor, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Vendor{}, fmt.Errorf("%w: something follows it", ErrVendor)
	}
	if err := v.check(); err != nil {
		return Vendor{}, err
	}
	return v, nil
}

func (v Vendor) check() error {
	switch {
	case v.Schema != vendorSchema:
		return fmt.Errorf("%w: schema %d", ErrVendor, v.Schema)
	case (len(v.Root) == 0) != (len(v.Sources) == 0):
		return fmt.Errorf("%w: it has a root without sources, or sources without a root", ErrVendor)
	case len(v.Sources) > maxSources:
		return fmt.Errorf("%w: more than %d sources", ErrVendor, maxSources)
	}
	for _, url := range v.Sources {
		if _, err := tufclient.NewHTTP(url, nil); err != nil {
			return fmt.Errorf("%w: %w", ErrVendor, err)
		}
	}
	return nil
}

// Encode returns the vendor as [ParseVendor] reads it.
func (v Vendor) Encode() ([]byte, error) {
	v.Schema = vendorSchema
	if err := v.check(); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// readSmall reads a file of this package.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxVendor+1))
	if err == nil && len(data) > maxVendor {
		err = fmt.Errorf("%s has more than %d bytes", path, maxVendor)
	}
	return data, err
}
