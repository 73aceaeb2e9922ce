package soledad

import (
	"errors"

	"leap.example/services/protocol/u1db"
)

// Config is the section "soledad" of the configuration. Sizes are bytes.
type Config struct {
	Listen   string `json:"listen"`    // host:port, HTTPS. Required.
	CertFile string `json:"cert_file"` // PEM, the chain by the provider's CA. Required.
	KeyFile  string `json:"key_file"`  // PEM. Required.

	// A sync that asks for it creates the user's database. If not set, only
	// tapicero creates databases, and such a sync is refused as unauthorized.
	EnsureCreates bool `json:"ensure_creates,omitempty"`

	MaxEntry  int   `json:"max_entry,omitempty"`  // One document of a sync. 0: 16 MiB. At most 200 MiB.
	MaxSync   int64 `json:"max_sync,omitempty"`   // One request of a sync. 0: 4 GiB.
	MaxBlob   int64 `json:"max_blob,omitempty"`   // One blob. 0: 48 MiB.
	BlobQuota int64 `json:"blob_quota,omitempty"` // All blobs of a user. 0: 200 MiB.
	Quota     int64 `json:"quota,omitempty"`      // The whole database of a user, as the store measures it. 0: 1 GiB.
	Memory    int64 `json:"memory,omitempty"`     // Blobs held at once. 0: 512 MiB. At least MaxBlob.

	Waiters   int `json:"waiters,omitempty"`   // Devices that wait for a change at once. 0: 4096.
	Transfers int `json:"transfers,omitempty"` // Syncs and blob transfers at once. 0: 256.
}

// Validate reports what is missing or wrong.
func (c Config) Validate() error {
	if c.Listen == "" || c.CertFile == "" || c.KeyFile == "" {
		return errors.New("listen, cert_file and key_file are required")
	}
	d := c.withDefaults()
	if min(int64(d.MaxEntry), d.MaxSync, d.MaxBlob, d.BlobQuota, d.Quota, d.Memory, int64(d.Waiters), int64(d.Transfers)) < 0 {
		return errors.New("limits must not be negative")
	}
	if d.MaxEntry > u1db.MaxEntry {
		return errors.New("max_entry is above 200 MiB")
	}
	if d.Memory < d.MaxBlob {
		return errors.New("memory is less than one blob")
	}
	return nil
}

func (c Config) withDefaults() Config {
	or := func(n *int64, otherwise int64) {
		if *n == 0 {
			*n = otherwise
		}
	}
	or(&c.MaxSync, 4<<30)
	or(&c.MaxBlob, 48<<20)
	or(&c.BlobQuota, 200<<20)
	or(&c.Quota, 1<<30)
	or(&c.Memory, 512<<20)
	if c.MaxEntry == 0 {
		c.MaxEntry = 16 << 20
	}
	if c.Waiters == 0 {
		c.Waiters = 4096
	}
	if c.Transfers == 0 {
		c.Transfers = 256
	}
	return c
}
