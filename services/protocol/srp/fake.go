package srp

import (
	"crypto/hmac"
	"crypto/sha256"
	"math/big"
	"strings"
)

// FakeSalt returns the salt to answer for a login that does not exist: always
// the same for one login, so that names cannot be told apart by asking twice.
// serverSecret is known to all nodes of the provider and to nobody else.
func FakeSalt(serverSecret []byte, login string) []byte {
	salt := fake(serverSecret, "leap/fake-salt/v1|", login)[:saltSize]
	salt[0] = salt[0]%255 + 1 // As NewSalt: never zero.
	return salt
}

// FakeVerifier returns a verifier to go with FakeSalt, in hex. No password
// fits it. It costs an exponentiation: a server that computes it only for
// unknown logins tells them apart by time. An unknown suite gives "".
func FakeVerifier(s Suite, serverSecret []byte, login string) string {
	g, err := s.group()
	if err != nil {
		return ""
	}
	x := new(big.Int).SetBytes(fake(serverSecret, "leap/fake-verifier/v1|", login))
	return g.encode(g.exp(g.g, x))
}

func fake(serverSecret []byte, info, login string) []byte {
	mac := hmac.New(sha256.New, serverSecret)
	mac.Write([]byte(info + strings.ToLower(login))) // Never fails.
	return mac.Sum(nil)
}
