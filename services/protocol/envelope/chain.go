package envelope

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// DocID returns the id under which the provider sees the document that
// devices call local: neither name nor type can be read off it. kid is the
// account's K_id, which never changes (client.md 4.1).
func DocID(kid LD1Key, local string) string {
	return "D-" + hex.EncodeToString(mac(kid, []byte(local))[:16])
}

// BlobID returns the id of the blob whose plain bytes have the SHA-256 sum
// (client.md 4.3).
func BlobID(kid LD1Key, sum [32]byte) string {
	return hex.EncodeToString(mac(kid, append([]byte("blob|"), sum[:]...))[:16])
}

// Head0 returns the head of the chain of the device replica before its first
// change. kchain is the account's K_chain (client.md 4.5).
func Head0(kchain LD1Key, user, replica string) [32]byte {
	b := appendField(nil, "leap/chain/v1")
	return [32]byte(mac(kchain, appendField(appendField(b, user), replica)))
}

// Leaf returns the leaf of the device's own change of generation n; sum is the
// SHA-256 of the plain body.
func Leaf(n int, docID, rev string, deleted bool, sum [32]byte) [32]byte {
	b := binary.BigEndian.AppendUint64(appendField(nil, "leap/leaf/v1"), uint64(n))
	b = appendField(appendField(b, docID), rev)
	flag := byte(0)
	if deleted {
		flag = 1
	}
	return sha256.Sum256(append(append(b, flag), sum[:]...))
}

// RecvLeaf returns the leaf of generation n when it is a change that the
// device received.
func RecvLeaf(n int) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64(appendField(nil, "leap/recv/v1"), uint64(n)))
}

// NextHead returns the head after a further leaf.
func NextHead(kchain LD1Key, head, leaf [32]byte) [32]byte {
	return [32]byte(mac(kchain, append(head[:], leaf[:]...)))
}

// TransID returns the transaction id of the generation whose head is given.
func TransID(head [32]byte) string { return "T-" + hex.EncodeToString(head[:16]) }

func mac(k LD1Key, msg []byte) []byte {
	h := hmac.New(sha256.New, k[:])
	h.Write(msg)
	return h.Sum(nil)
}
