package bonafide

import "strings"

// TokenHeader returns the value of the Authorization header that carries token.
func TokenHeader(token string) string { return `Token token="` + token + `"` }

// ParseTokenHeader returns the token of an Authorization header. The classic
// key manager writes it without quotes. ok is false for anything else, also
// when the token has characters that no token has.
func ParseTokenHeader(header string) (token string, ok bool) {
	const scheme = "token token="
	if len(header) < len(scheme) || len(header) > 512 || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", false
	}
	token = header[len(scheme):]
	if inner, quoted := strings.CutPrefix(token, `"`); quoted {
		if token, quoted = strings.CutSuffix(inner, `"`); !quoted {
			return "", false
		}
	}
	bad := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == ',' || r == '\\' }
	return token, token != "" && !strings.ContainsFunc(token, bad)
}
