package envelope

// Tags of BER, X.690, 8.1.2: class, constructed bit and number in one byte.
const (
	berInteger  = 0x02
	berOID      = 0x06
	berSequence = 0x30
	berSet      = 0x31
	berContext0 = 0xa0
)

// Content types: RFC 5652, 6.1 and RFC 5083, 2.
const (
	oidEnveloped     = "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03"
	oidAuthEnveloped = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17"
)

// isEnveloped reports whether b is a CMS ContentInfo with (authenticated)
// enveloped data that has recipients and encrypted content. Mail programs
// write BER with indefinite lengths, which encoding/asn1 does not read.
func isEnveloped(b []byte) bool {
	info, rest, ok := cutBER(b, berSequence)
	if !ok || len(rest) > 0 {
		return false
	}
	oid, info, ok := cutBER(info, berOID)
	if !ok || string(oid) != oidEnveloped && string(oid) != oidAuthEnveloped {
		return false
	}
	if info, _, ok = cutBER(info, berContext0); !ok {
		return false
	}
	data, _, ok := cutBER(info, berSequence)
	if !ok {
		return false
	}
	if _, data, ok = cutBER(data, berInteger); !ok {
		return false
	}
	if _, after, ok := cutBER(data, berContext0); ok { // OriginatorInfo.
		data = after
	}
	recipients, data, ok := cutBER(data, berSet)
	if !ok || len(recipients) == 0 {
		return false
	}
	encrypted, _, ok := cutBER(data, berSequence)
	return ok && len(encrypted) > 0
}

// cutBER takes one element of the tag off the front of b.
func cutBER(b []byte, tag byte) (content, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != tag {
		return nil, nil, false
	}
	return cutAnyBER(b, 0)
}

// maxDepth bounds elements of indefinite length inside each other.
const maxDepth = 16

func cutAnyBER(b []byte, depth int) (content, rest []byte, ok bool) {
	if depth > maxDepth || len(b) < 2 || b[0]&0x1f == 0x1f {
		return nil, nil, false
	}
	c := cutter{b: b[2:]}
	switch n := int(b[1]); {
	case n < 0x80:
		content = c.cut(n)
	case n > 0x80 && n <= 0x84:
		content = c.cut(int(c.uint(n - 0x80)))
	case n == 0x80: // Indefinite: elements up to an end mark.
		inner := c.b
		for {
			if len(inner) >= 2 && inner[0] == 0 && inner[1] == 0 {
				return c.b[:len(c.b)-len(inner)], inner[2:], true
			}
			if _, inner, ok = cutAnyBER(inner, depth+1); !ok {
				return nil, nil, false
			}
		}
	default:
		return nil, nil, false
	}
	return content, c.b, !c.short
}
