package upstream

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/miekg/dns"
)

const (
	maxUDP = 1232 // The buffer size announced.
	block  = 128  // Questions by TLS are padded to multiples of it: RFC 8467, 4.1.
)

// A Query is what an upstream is asked.
type Query struct {
	Name string // Canonical.
	Type uint16
	CD   bool // It shall not validate.
}

// ErrCode is that an upstream answered, but neither with records nor that there
// are none.
var ErrCode = errors.New("it answered with an error code")

// errStray is that an answer is to another question.
var errStray = errors.New("an answer to another question")

// message returns the question as a message with a random id, with the DO bit.
func (q Query) message(padded bool) (*dns.Msg, error) {
	var id [2]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	m := new(dns.Msg).SetQuestion(q.Name, q.Type)
	m.Id = binary.BigEndian.Uint16(id[:])
	m.CheckingDisabled = q.CD
	m.SetEdns0(maxUDP, true)
	if padded {
		pad := new(dns.EDNS0_PADDING)
		opt := m.IsEdns0()
		opt.Option = append(opt.Option, pad)
		if over := m.Len() % block; over > 0 {
			pad.Padding = make([]byte, block-over)
		}
	}
	return m, nil
}

// answers reports whether reply is one to m: anything else is a forgery or a
// stray.
func answers(reply, m *dns.Msg) bool {
	if !reply.Response || reply.Id != m.Id || len(reply.Question) != 1 {
		return false
	}
	a, b := reply.Question[0], m.Question[0]
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}
