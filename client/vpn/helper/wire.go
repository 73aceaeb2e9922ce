package helper

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"time"

	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/problem"
)

// Version is that of the commands. It changes when an old helper would
// misunderstand a new caller.
const Version = 1

// Socket is where the helper of a machine listens.
const Socket = "/run/leap-vpn/helper.sock"

// Limits of the socket.
const (
	maxMessage  = 128 << 10        // Bytes of a message: a policy with a CA of 64 KiB in base64.
	askTimeout  = 5 * time.Second  // For a question to arrive, and for an answer to be taken.
	workTimeout = 40 * time.Second // For a command.
	maxCallers  = 16               // Connections at once; more wait.

	refusedPause = time.Minute // Between lines of the log about callers refused.
)

// A request is a question: exactly one of its members.
type request struct {
	Apply   *policy.Policy `json:"apply,omitempty"`
	Stats   *struct{}      `json:"stats,omitempty"`
	Dial    *dial          `json:"dial,omitempty"`
	Boot    *boot          `json:"boot,omitempty"`
	Version *struct{}      `json:"version,omitempty"`
}

// dial asks for a connection outside the tunnel.
type dial struct {
	Network string         `json:"network"` // "tcp" or "udp".
	Addr    netip.AddrPort `json:"addr"`
}

// boot says whether all is blocked from the next start of the machine on, until
// a policy is applied.
type boot struct {
	Block bool `json:"block"`
}

// A reply is an answer.
type reply struct {
	Problem *problem.Document `json:"problem,omitempty"`
	Stats   *policy.Stats     `json:"stats,omitempty"`
	Version int               `json:"version"`
	Program Program           `json:"program,omitzero"`
}

// A Program is what runs. Helpers of the first releases do not say it.
type Program struct {
	Version string `json:"version"`
	Path    string `json:"path"` // With no links in it.
}

// parseRequest reads a question. What is not exactly one known command, with
// known members, is Invalid.
func parseRequest(data []byte) (request, error) {
	var q request
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return request{}, problem.Invalid.Errorf("the helper does not understand the question: are leapc and its helper of the same release?")
	}
	if _, err := d.Token(); err != io.EOF {
		return request{}, problem.Invalid.Errorf("the helper got more than one question")
	}
	n := 0
	for _, there := range []bool{q.Apply != nil, q.Stats != nil, q.Dial != nil, q.Boot != nil, q.Version != nil} {
		if there {
			n++
		}
	}
	if n != 1 {
		return request{}, problem.Invalid.Errorf("a question to the helper has one command")
	}
	return q, nil
}
