package efi_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"leap.example/appliance/efi"
	"leap.example/appliance/efi/efitest"
)

// FuzzOpenUKI holds that whatever is taken can be read, stripped, signed and
// verified.
func FuzzOpenUKI(f *testing.F) {
	f.Add(uki("1.0.0"))
	f.Add(sign(f, uki("1.0.0")))
	f.Add(efitest.Program(".text", "code"))
	key, cert := ours()
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := efi.OpenUKI(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		kernel, err := u.Section(efi.SectionKernel)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, kernel); err != nil || n != kernel.Size() {
			t.Errorf("read %d of %d bytes: %v", n, kernel.Size(), err)
		}
		stripped, err := efi.Strip(data)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := efi.Sign(stripped, key, cert)
		if err != nil {
			t.Fatal(err)
		}
		if err := open(t, signed).Verify(cert); err != nil {
			t.Error(err)
		}
	})
}

// FuzzVerify holds that no message makes a program good that was not signed.
func FuzzVerify(f *testing.F) {
	_, cert := ours()
	signed := sign(f, uki("1.0.0"))
	end := len(uki("1.0.0"))
	f.Add(signed[end+8:])
	f.Fuzz(func(t *testing.T, message []byte) {
		message = message[:len(message)&^7]
		le := binary.LittleEndian
		other := uki("1.0.1")
		le.PutUint32(other[peAt+24+144:], uint32(end))
		le.PutUint32(other[peAt+24+148:], uint32(8+len(message)))
		other = le.AppendUint32(other, uint32(8+len(message)))
		other = append(append(other, signed[end+4:end+8]...), message...)
		if err := open(t, other).Verify(cert); !errors.Is(err, efi.ErrSignature) {
			t.Errorf("got %v", err)
		}
	})
}
