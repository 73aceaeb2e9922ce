package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leap.example/services/protocol/lease"
)

// needles are what must not be found, by what it is.
type needles map[string][]byte

// text is looked for as it is, and inside a longer text in base64, as documents
// lie on the disk.
func (n needles) text(name, text string) {
	n[name] = []byte(text)
	for before := range 3 {
		// The first and the last characters depend on what stands beside.
		all := base64.StdEncoding.EncodeToString(append(make([]byte, before), text...))
		n[fmt.Sprintf("%s in base64, %d", name, before)] = []byte(all[(before*8+5)/6 : (before+len(text))*8/6])
	}
}

// secret is looked for raw, and as texts write it.
func (n needles) secret(name string, raw []byte) {
	n[name] = raw
	n.text(name+" in hex", hex.EncodeToString(raw))
	n.text(name+" in capital hex", strings.ToUpper(hex.EncodeToString(raw)))
	n.text(name+" in base64", base64.StdEncoding.EncodeToString(raw))
}

func (n needles) address(name string, a netip.Addr) {
	n.text(name, a.String())
	if a.Is6() { // Four bytes are found everywhere.
		n[name+", raw"] = a.AsSlice()
	}
}

func (n needles) session(name string, s *session, a *account) {
	public := s.Key.Public()
	n.secret(name+": key", public[:])
	n.secret(name+": PSK", s.PSK[:])
	n.secret(name+": lease", s.granted.LeaseID[:])
	n.secret(name+": serial of the certificate", a.cert.Leaf.SerialNumber.Bytes())
	n.text(name+": serial of the certificate in decimal", a.cert.Leaf.SerialNumber.String())
	n.text(name+": common name", a.cert.Leaf.Subject.CommonName)
	for _, p := range s.granted.Addresses {
		n.address(name+": address in the tunnel", p.Addr())
	}
}

// scan reads all and returns the names of needles that it has, sorted. What is the
// same in was, at the same place, is passed over, and so are holes.
func scan(from io.Reader, was io.ReaderAt, n needles) ([]string, error) {
	const chunk = 64 << 10
	found := map[string]bool{}
	longest := 0
	for _, text := range n {
		longest = max(longest, len(text))
	}
	buffer, old, zeros := make([]byte, longest+chunk), make([]byte, chunk), make([]byte, chunk)
	for at := int64(0); ; at += chunk {
		size, err := io.ReadFull(from, buffer[longest:])
		part := buffer[:longest+size]
		before, _ := was.ReadAt(old[:size], at) // What it does not have is new.
		if !bytes.Equal(part[longest:], old[:before]) && !bytes.Equal(part[longest:], zeros[:size]) {
			for name, text := range n {
				if !found[name] && bytes.Contains(part, text) {
					found[name] = true
				}
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			var names []string
			for name := range found {
				names = append(names, name)
			}
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		copy(buffer, buffer[size:longest+size])
	}
}

func scanFile(t *testing.T, path string, was io.ReaderAt, n needles) []string {
	t.Helper()
	f, err := os.Open(path)
	check(t, err)
	found, err := scan(f, was, n)
	check(t, errors.Join(err, f.Close()))
	return found
}

// TestScan finds what is there, in all its forms, wherever it lies.
func TestScan(t *testing.T) {
	n := needles{}
	key := lease.Key{1, 2, 3, 31: 4}
	n.secret("key", key[:])
	n.address("address", own6)
	n.text("missing", "nowhere")
	n.text("old", "what was there before")
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	check(t, err)
	at := int64(64<<10 - 5) // Across two chunks.
	for _, name := range []string{"key", "key in hex", "key in base64", "address", "address, raw", "key in capital hex"} {
		_, err := f.WriteAt(n[name], at)
		check(t, err)
		at += 9 << 20
	}
	for before := range 3 {
		document := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 9+before) + own6.String() + "yy"))
		_, err := f.WriteAt([]byte(document), at+int64(before)*1000)
		check(t, err)
	}
	at = at/(64<<10)*(64<<10) + 128<<10
	_, err = f.WriteAt(n["old"], at)
	check(t, errors.Join(err, f.Close()))
	before := make([]byte, at+int64(len(n["old"])))
	copy(before[at:], n["old"])
	want := []string{
		"address", "address in base64, 0", "address in base64, 1", "address in base64, 2", "address, raw",
		"key", "key in base64", "key in capital hex", "key in hex",
	}
	if got := scanFile(t, path, bytes.NewReader(before), n); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if got := scanFile(t, path, bytes.NewReader(nil), n); !slices.Equal(got, append(want, "old")) {
		t.Errorf("where nothing was before, it found %q", got)
	}
}
