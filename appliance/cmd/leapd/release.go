package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"leap.example/appliance/node"
	"leap.example/appliance/slots"
	"leap.example/appliance/volume"
)

// releases are those on this node's disk. perm says whether what is known of
// them can be kept.
func releases(d volume.Disk, perm bool, running string) (*slots.Slots, error) {
	s := &slots.Slots{
		Running: running,
		ESP: func(ctx context.Context, f func(string) error) error {
			return d.UseESP(ctx, node.ESPDir, node.ESPLock, f)
		},
	}
	if perm {
		s.Dir = node.ReleaseDir
	}
	var err error
	s.Certificate, err = readCertificate(node.CertificateFile)
	return s, err
}

// readCertificate reads what the firmware checks releases with. Nil: nothing.
func readCertificate(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not in PEM", path)
	}
	return x509.ParseCertificate(block.Bytes)
}
