package lease

import (
	"encoding/json"

	"leap.example/services/protocol/problem"
)

// Paths of the API on a gateway; the lease with an ID is at ID.Path.
const (
	PathLease  = "/vpn/v1/lease"
	PathStatus = "/vpn/v1/status"
)

// Limits of the documents, bytes.
const (
	MaxRequest = 4 << 10
	MaxReply   = 16 << 10
)

// A Proto is how WireGuard's datagrams travel to the gateway.
type Proto string

const (
	UDP     Proto = "udp"     // As they are.
	UDP2TCP Proto = "udp2tcp" // Framed in a TLS connection of ALPN.
)

// A Request asks for a lease, or for the renewal of one.
type Request struct {
	WGPublicKey Key  `json:"wg_public_key"`
	Want        Want `json:"want"`
}

// Want is what a client would like; the Lease says what it gets.
type Want struct {
	IPv6      bool  `json:"ipv6"`
	Transport Proto `json:"transport,omitempty"` // "" is UDP.
}

// ParseRequest reads a Request; errors are Invalid.
func ParseRequest(data []byte) (Request, error) {
	var r Request
	if len(data) > MaxRequest {
		return Request{}, problem.Invalid.Errorf("a lease request has at most %d bytes", MaxRequest)
	}
	if json.Unmarshal(data, &r) != nil {
		return Request{}, problem.Invalid.Errorf("malformed lease request")
	}
	if err := r.Validate(); err != nil {
		return Request{}, err
	}
	return r, nil
}

// Validate returns an Invalid error for what a gateway would refuse.
func (r Request) Validate() error {
	if r.WGPublicKey.IsZero() {
		return problem.Invalid.Errorf("wg_public_key is missing")
	}
	if err := r.WGPublicKey.checkPublic(); err != nil {
		return err
	}
	switch r.Want.Transport {
	case "", UDP, UDP2TCP:
		return nil
	}
	return problem.Invalid.Errorf("want.transport is %s or %s", UDP, UDP2TCP)
}
