package tufrepo

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// An Agent is a key behind the socket of an ssh-agent. An SSH signature with
// ssh-ed25519 is one over the bytes themselves, and with ecdsa-sha2-nistp256 one
// over their SHA-256: both are what TUF wants. Keys on security tokens (sk-…)
// sign something around the bytes, and RSA keys sign otherwise: they are refused.
type Agent struct {
	public *PublicKey
	socket string
	key    ssh.PublicKey
}

// agentWait is how long an agent may ask its owner.
const agentWait = 2 * time.Minute

// OpenAgent finds the key of an agent that has the comment given, or the only
// one that can be used if comment is empty. The key is called name.
func OpenAgent(ctx context.Context, socket, comment, name string) (*Agent, error) {
	var found []*Agent
	err := ask(ctx, socket, func(a agent.ExtendedAgent) error {
		list, err := a.List()
		if err != nil {
			return err
		}
		for _, k := range list {
			if comment != "" && k.Comment != comment {
				continue
			}
			key, err := ssh.ParsePublicKey(k.Blob)
			if err != nil {
				continue // A kind that nobody here knows.
			}
			c, ok := key.(ssh.CryptoPublicKey)
			if !ok || key.Type() != ssh.KeyAlgoED25519 && key.Type() != ssh.KeyAlgoECDSA256 {
				continue
			}
			p, err := NewPublicKey(name, c.CryptoPublicKey())
			if err != nil {
				return err
			}
			found = append(found, &Agent{p, socket, key})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("the agent has %d keys %q of the types ssh-ed25519 and ecdsa-sha2-nistp256, one is required: see \"ssh-add -l\": %w", len(found), comment, ErrKey)
	}
	return found[0], nil
}

// ask talks to an agent.
func ask(ctx context.Context, socket string, talk func(agent.ExtendedAgent) error) error {
	ctx, cancel := context.WithTimeout(ctx, agentWait)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("no ssh-agent answers: %w (%w)", ErrKey, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = talk(agent.NewClient(conn))
	if stop() {
		conn.Close()
	}
	if err != nil && !errors.Is(err, ErrKey) {
		err = fmt.Errorf("ssh-agent: %w (%w)", err, ErrKey)
	}
	return err
}

// Public implements Signer.
func (a *Agent) Public() *PublicKey { return a.public }

// Sign implements Signer.
func (a *Agent) Sign(ctx context.Context, payload []byte) (sig []byte, err error) {
	err = ask(ctx, a.socket, func(c agent.ExtendedAgent) error {
		s, err := c.Sign(a.key, payload)
		if err != nil {
			return err
		}
		sig, err = fromSSH(a.key, s)
		return err
	})
	return sig, err
}

// fromSSH brings a signature of SSH into TUF's encoding.
func fromSSH(key ssh.PublicKey, s *ssh.Signature) ([]byte, error) {
	switch key.(ssh.CryptoPublicKey).CryptoPublicKey().(type) {
	case ed25519.PublicKey:
		return s.Blob, nil
	case *ecdsa.PublicKey:
		var rs struct{ R, S *big.Int } // RFC 5656, 3.1.2.
		if err := ssh.Unmarshal(s.Blob, &rs); err != nil {
			return nil, err
		}
		return asn1.Marshal(rs)
	}
	return nil, fmt.Errorf("an agent signed with %s: %w", s.Format, ErrKey)
}
