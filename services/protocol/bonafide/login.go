package bonafide

import (
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

// maxNumber is the length of the longest SRP number in hex.
const maxNumber = 768

// A HandshakeRequest is POST /1/sessions. The answer's cookie must come back
// with the AuthRequest.
type HandshakeRequest struct {
	Login string
	A     string // Hex.
	Suite srp.Suite
}

// A HandshakeResponse is the answer. When the account's verifier is of
// another suite than the request, Suite names it and the rest is empty.
type HandshakeResponse struct {
	B     string    `json:"B,omitempty"`
	Salt  string    `json:"salt,omitempty"` // Hex.
	Suite srp.Suite `json:"suite,omitempty"`
	KDF   *srp.KDF  `json:"kdf,omitempty"` // Of suite srp-3072.
}

// An AuthRequest is PUT /1/sessions/:login.
type AuthRequest struct {
	ClientAuth string // M1, hex.
}

// An AuthResponse is the answer: the server's proof and the token.
type AuthResponse struct {
	M2    string `json:"M2"`
	ID    string `json:"id"` // Of the user.
	Token string `json:"token"`
}

// DecodeHandshake reads a HandshakeRequest. Whether the login is a possible
// name is not checked: an impossible one is answered like an unknown one.
func DecodeHandshake(contentType string, body []byte) (HandshakeRequest, error) {
	f, err := decode(contentType, body)
	if err != nil {
		return HandshakeRequest{}, err
	}
	r := HandshakeRequest{Login: f["login"], A: f["A"], Suite: f.suite("suite")}
	if r.Login == "" || len(r.Login) > 255 {
		return HandshakeRequest{}, problem.Invalid.Errorf("login is missing or too long")
	}
	if !isHex(r.A) || len(r.A) > maxNumber {
		return HandshakeRequest{}, problem.Invalid.Errorf("A is missing or malformed")
	}
	return r, nil
}

// Encode returns r as a form. For leap-1024 no suite is named: a classic
// server would not know it.
func (r HandshakeRequest) Encode() []byte {
	f := fields{"login": r.Login, "A": r.A}
	if r.Suite != srp.LEAP1024 {
		f.set("suite", string(r.Suite))
	}
	return f.encode()
}

// DecodeAuth reads an AuthRequest.
func DecodeAuth(contentType string, body []byte) (AuthRequest, error) {
	f, err := decode(contentType, body)
	if err != nil {
		return AuthRequest{}, err
	}
	r := AuthRequest{ClientAuth: f["client_auth"]}
	if !isHex(r.ClientAuth) || len(r.ClientAuth) > 64 {
		return AuthRequest{}, problem.Invalid.Errorf("client_auth is missing or malformed")
	}
	return r, nil
}

// Encode returns r as a form.
func (r AuthRequest) Encode() []byte { return fields{"client_auth": r.ClientAuth}.encode() }
