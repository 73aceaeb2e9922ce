package envelope

// OpenPGP packet types, RFC 9580, 5.
const (
	tagPKESK   = 1
	tagSKESK   = 3
	tagMarker  = 10
	tagSEIPD   = 18
	tagAEAD    = 20 // Of GnuPG 2.3; never standardised.
	tagPadding = 21
)

// isOpenPGP reports whether b is an encrypted OpenPGP message, RFC 9580, 10.3:
// at least one session key for a public key, then one encrypted packet and
// nothing else.
func isOpenPGP(b []byte) bool {
	keys := 0
	for len(b) > 0 {
		tag, body, rest, ok := cutPacket(b)
		if !ok {
			return false
		}
		b = rest
		switch tag {
		case tagPKESK:
			if len(body) < 10 || body[0] != 3 && body[0] != 6 {
				return false
			}
			keys++
		case tagSKESK, tagMarker, tagPadding:
		case tagSEIPD:
			// 5.13: version 1 has at least prefix (18) and MDC (22), version 2
			// cipher, mode, chunk size, salt (32) and two tags (16).
			return keys > 0 && len(b) == 0 && (body[0] == 1 && len(body) > 1+18+22 || body[0] == 2 && len(body) > 1+3+32+16+16)
		case tagAEAD:
			return keys > 0 && len(b) == 0 && body[0] == 1 && len(body) > 1+3+15+16+16
		default:
			return false
		}
	}
	return false
}

// cutPacket takes one packet with a non-empty body off the front of b, RFC
// 9580, 4.2. The parts of a partial body are joined.
func cutPacket(b []byte) (tag int, body, rest []byte, ok bool) {
	if len(b) < 2 || b[0]&0x80 == 0 {
		return 0, nil, nil, false
	}
	c := cutter{b: b[1:]}
	if b[0]&0x40 == 0 { // Legacy format.
		n := len(c.b)
		if kind := b[0] & 3; kind < 3 {
			n = int(c.uint(1 << kind))
		}
		tag, body = int(b[0]>>2&0x0f), c.cut(n)
		return tag, body, c.b, !c.short && len(body) > 0
	}
	for {
		n, partial := int(c.uint(1)), false
		switch {
		case n < 192:
		case n < 224:
			n = (n-192)<<8 + int(c.uint(1)) + 192
		case n < 255:
			n, partial = 1<<(n&0x1f), true
		default:
			n = int(c.uint(4))
		}
		part := c.cut(n)
		if c.short {
			return 0, nil, nil, false
		}
		if body == nil && !partial {
			body = part
		} else {
			body = append(body, part...)
		}
		if !partial {
			return int(b[0] & 0x3f), body, c.b, len(body) > 0
		}
	}
}
