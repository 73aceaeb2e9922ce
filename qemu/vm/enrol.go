package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"unicode/utf16"
)

// A guid is a name in the firmware, in the order of its bytes in memory.
type guid [16]byte

// newGUID reads the usual form of a GUID, of which the first three groups are
// little-endian in memory (UEFI 2.10, appendix A).
func newGUID(a uint32, b, c uint16, d ...byte) (g guid) {
	binary.LittleEndian.PutUint32(g[:], a)
	binary.LittleEndian.PutUint16(g[4:], b)
	binary.LittleEndian.PutUint16(g[6:], c)
	copy(g[8:], d)
	return g
}

var (
	authenticatedStore = newGUID(0xaaf32c78, 0x947b, 0x439a, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92)
	globalVariable     = newGUID(0x8be4df61, 0x93ca, 0x11d2, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c)
	securityDatabase   = newGUID(0xd719b2cb, 0x3d3a, 0x4596, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f)
	secureBootEnable   = newGUID(0xf0a30bc7, 0xaf08, 0x4556, 0x99, 0xc4, 0x00, 0x10, 0x09, 0xc9, 0x3a, 0x44)
	certX509           = newGUID(0xa5c059a1, 0x94e4, 0x4aa7, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72)
)

// volumeHeaderLength is where the length of a volume's header stands in it.
const volumeHeaderLength = 48

// Attributes of variables (UEFI 2.10, 8.2).
const (
	nonVolatile   = 1
	bootService   = 2
	runTime       = 4
	authenticated = 0x20 // By time.
)

// enrol returns a store of variables, as OVMF's template is one, with a
// certificate, DER, as the only key of the platform, of those who may change
// keys, and of what is started, so that Secure Boot is on (EDK II,
// MdeModulePkg/Include/Guid/VariableFormat.h).
func enrol(store, certificate []byte) ([]byte, error) {
	const storeHeader = 28 // Bytes.
	le := binary.LittleEndian
	if len(store) < volumeHeaderLength+2 {
		return nil, errors.New("no store of variables")
	}
	at := int(le.Uint16(store[volumeHeaderLength:]))
	if at+storeHeader > len(store) || guid(store[at:at+16]) != authenticatedStore {
		return nil, errors.New("no store of variables that is known")
	}
	end := at + int(min(le.Uint32(store[at+16:]), uint32(len(store)-at)))

	list := slices.Concat(certX509[:], le.AppendUint32(nil, uint32(28+16+len(certificate))), make([]byte, 4),
		le.AppendUint32(nil, uint32(16+len(certificate))), globalVariable[:], certificate)
	var all []byte
	for _, v := range []struct {
		name   string
		vendor guid
		flags  uint32
		value  []byte
	}{
		{"db", securityDatabase, nonVolatile | bootService | runTime | authenticated, list},
		{"KEK", globalVariable, nonVolatile | bootService | runTime | authenticated, list},
		{"PK", globalVariable, nonVolatile | bootService | runTime | authenticated, list},
		{"SecureBootEnable", secureBootEnable, nonVolatile | bootService, []byte{1}},
	} {
		all = append(all, variable(v.name, v.vendor, v.flags, v.value)...)
	}
	out := slices.Clone(store)
	place := out[at+storeHeader : end]
	if len(all) > len(place) || bytes.Count(place[:len(all)], []byte{0xff}) != len(all) {
		return nil, errors.New("the store of variables is not empty, or too small")
	}
	copy(place, all)
	return out, nil
}

// variable is a variable as it lies in the store, filled up to four bytes.
func variable(name string, vendor guid, flags uint32, value []byte) []byte {
	const start, added = 0x55aa, 0x3f
	le := binary.LittleEndian
	var text []byte
	for _, u := range utf16.Encode([]rune(name + "\x00")) {
		text = le.AppendUint16(text, u)
	}
	out := le.AppendUint16(nil, start)
	out = append(out, added, 0)
	out = le.AppendUint32(out, flags)
	out = append(out, make([]byte, 8+16+4)...) // Count, time and index of the key: none.
	out = le.AppendUint32(out, uint32(len(text)))
	out = le.AppendUint32(out, uint32(len(value)))
	out = slices.Concat(out, vendor[:], text, value)
	for len(out)%4 != 0 {
		out = append(out, 0xff)
	}
	return out
}
