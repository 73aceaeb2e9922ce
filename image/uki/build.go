package uki

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"leap.example/appliance/efi"
)

// maxSize limits a release: three must fit into the EFI system partition.
const maxSize = 128 << 20

// Options say what a release is made of.
type Options struct {
	Release  efi.Release // Required.
	Services []string    // Names below /user. Required.

	// Source is the directory of this module. Its leapd is built, unless
	// Program names one that is built already, and its go.mod chooses the
	// kernel, unless Kernel names a bzImage.
	Source  string
	Program string
	Kernel  string

	// Firmware is the directory that holds stub and boot loader. Empty: where
	// Debian's package systemd-boot-efi puts them.
	Firmware string

	Certificate []byte // Of those who sign, PEM. Optional.
	Key         []byte // RSA in PKCS #8, PEM. Needs Certificate. Empty: nothing is signed.
	CABundle    []byte // PEM. Optional.
	// Vendor is a root of the repository of releases, as its signers have signed
	// it: its nodes take no other one's. Without it they take the one that their
	// document names.
	Vendor []byte
}

// A Build is a release that was made.
type Build struct {
	UKI        []byte // The release.
	BootLoader []byte // The EFI program that starts it, signed by the same key.
	SBOM       []byte // What it consists of, CycloneDX JSON; also in the image.
}

// Make builds a release. It runs the go command of Source if leapd or the
// kernel come from there; ctx ends that.
func Make(ctx context.Context, o Options) (*Build, error) {
	sign, err := o.check()
	if err != nil {
		return nil, err
	}
	program, err := o.program(ctx)
	if err != nil {
		return nil, err
	}
	linux, err := o.kernel(ctx)
	if err != nil {
		return nil, err
	}
	stub, err := o.firmware("linuxx64.efi.stub", stubs)
	if err != nil {
		return nil, err
	}
	loader, err := o.firmware("systemd-bootx64.efi", bootLoaders)
	if err != nil {
		return nil, err
	}

	b := new(Build)
	if b.SBOM, err = bill(o.Release.Version, program, linux, stub, loader); err != nil {
		return nil, err
	}
	release, err := json.Marshal(o.Release)
	if err != nil {
		return nil, err
	}
	files, err := rootfs(o, program, release, b.SBOM)
	if err != nil {
		return nil, err
	}
	b.UKI, err = assemble(stub.data, []section{
		{efi.SectionRelease, []byte(efi.OSRelease(o.Release.Version))},
		{efi.SectionCmdline, []byte(Cmdline)},
		{efi.SectionInitrd, files},
		{efi.SectionKernel, linux.data},
	})
	if err != nil {
		return nil, err
	}
	if b.BootLoader, err = efi.Strip(loader.data); err != nil {
		return nil, fmt.Errorf("boot loader: %w", err)
	}
	for _, program := range []*[]byte{&b.UKI, &b.BootLoader} {
		if *program, err = sign(*program); err != nil {
			return nil, err
		}
	}
	if len(b.UKI) > maxSize {
		return nil, fmt.Errorf("the release has %d MB, more than %d: three would not fit into a node's system partition", len(b.UKI)>>20, maxSize>>20)
	}
	return b, nil
}

// check validates the options and returns what signs, or does not.
func (o Options) check() (sign func([]byte) ([]byte, error), err error) {
	if err := o.Release.Validate(); err != nil {
		return nil, err
	}
	if len(o.Services) == 0 {
		return nil, errors.New("a release without services")
	}
	if o.Source == "" && (o.Program == "" || o.Kernel == "") {
		return nil, errors.New("neither the source nor a program and a kernel are given")
	}
	if len(o.Vendor) > 0 && !json.Valid(o.Vendor) {
		return nil, errors.New("the root of the vendor's repository is not JSON")
	}
	if len(o.Certificate) == 0 && len(o.Key) == 0 {
		return func(program []byte) ([]byte, error) { return program, nil }, nil
	}
	der, err := onlyBlock(o.Certificate, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if len(o.Key) == 0 {
		return func(program []byte) ([]byte, error) { return program, nil }, nil
	}
	if der, err = onlyBlock(o.Key, "PRIVATE KEY"); err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if public, rsaKey := cert.PublicKey.(*rsa.PublicKey); !ok || !rsaKey || !public.Equal(signer.Public()) {
		return nil, errors.New("the certificate is not one of the signing key, or the key is not RSA")
	}
	return func(program []byte) ([]byte, error) { return efi.Sign(program, signer, cert) }, nil
}

// onlyBlock is the content of a PEM file with one block of that type.
func onlyBlock(data []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != kind || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("what should be one %s in PEM is not", kind)
	}
	return block.Bytes, nil
}

// A part is a file that goes into a release.
type part struct {
	version string
	data    []byte
}

func (o Options) firmware(name string, known []pin) (part, error) {
	dir := o.Firmware
	if dir == "" {
		dir = debianFirmware
	}
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return part{}, fmt.Errorf("%w: install Debian's package systemd-boot-efi", err)
	}
	if err != nil {
		return part{}, err
	}
	digest := digestOf(data)
	i := slices.IndexFunc(known, func(p pin) bool { return p.sha256 == digest })
	if i < 0 {
		return part{}, fmt.Errorf("%s has the SHA-256 %s, which is of no version that is known to work: "+
			"install version %s of Debian's package systemd-boot-efi, or try this one and add it to image/uki/pins.go", path, digest, versions(known))
	}
	return part{known[i].version, data}, nil
}
