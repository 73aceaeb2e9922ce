package envelope

import "math/bits"

// minPadded is the least length of padded plain text, bytes.
const minPadded = 512

// padmé returns the length on the Padmé grid that n bytes are padded to: at
// most 12 % more than n, one of O(log n) values per power of two ("Reducing
// Metadata Leakage from Encrypted Files and Communication with PURBs",
// Nikitin et al., 2019, 4.2). At least minPadded.
func padmé(n int) int {
	if n <= minPadded {
		return minPadded
	}
	e := bits.Len(uint(n)) - 1
	s := bits.Len(uint(e))
	mask := 1<<(e-s) - 1
	return (n + mask) &^ mask
}

// allZero reports whether b holds nothing but zeros.
func allZero(b []byte) bool {
	or := byte(0)
	for _, c := range b {
		or |= c
	}
	return or == 0
}
