package smtpline

// Records follows the TLS records (RFC 8446, 5.1) of one direction of a
// connection from outside, without their keys. Text before the first record,
// up to STARTTLS, is passed over. The zero value awaits the first octet.
type Records struct {
	head [5]byte // Of the record under way.
	have int     // Octets of head.
	left int     // Octets of the record that are still to come.
	kind byte    // Of the last whole record.
	size int
}

// Content types.
const (
	recordFirst = 20
	recordAlert = 21
	recordData  = 23
	recordLast  = 23
	// sealedAlert is the length of an alert in TLS 1.3: level, description,
	// true content type, authentication tag.
	sealedAlert = 2 + 1 + 16
)

// Feed takes the next octets of the connection.
func (r *Records) Feed(b []byte) {
	for len(b) > 0 {
		if r.have == 0 && (b[0] < recordFirst || b[0] > recordLast) {
			b = b[1:]
			continue
		}
		if r.have < len(r.head) {
			n := copy(r.head[r.have:], b)
			b = b[n:]
			if r.have += n; r.have < len(r.head) {
				return
			}
			r.left = int(r.head[3])<<8 | int(r.head[4])
		}
		n := min(r.left, len(b))
		b = b[n:]
		if r.left -= n; r.left == 0 {
			r.kind, r.size, r.have = r.head[0], int(r.head[3])<<8|int(r.head[4]), 0
		}
	}
}

// MayEnd reports whether the last whole record can be an alert: in TLS 1.2 it
// says so, in 1.3 it has an alert's length, which data of two octets has too.
func (r *Records) MayEnd() bool {
	return r.kind == recordAlert || r.kind == recordData && r.size == sealedAlert
}
