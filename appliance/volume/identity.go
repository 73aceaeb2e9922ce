package volume

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"leap.example/appliance/durable"
	"leap.example/appliance/node"
)

// ErrNobody is that a node has no identity, and no disk offers one.
var ErrNobody = errors.New("this node has no identity: attach an identity disk")

// A Choice is which identity a node takes.
type Choice struct {
	Signed    node.Signed
	Identity  node.Identity
	Reinstall bool    // perm is to be formatted anew for it.
	Notes     []error // Why other identities were not taken.
}

// Choose decides between the identity that the node has kept, if any, and those
// that disks offer. If perm is broken, whatever was kept there cannot be read: one
// that says to reinstall is taken with that, and any other without keeping it. The
// error is [ErrNobody] or says what is wrong with the one that is kept.
func Choose(kept *node.Signed, offered []node.Signed, broken bool) (Choice, error) {
	var c Choice
	if kept == nil {
		for _, s := range offered {
			id, err := parse(s, nil)
			if err == nil {
				c.Signed, c.Identity, c.Reinstall = s, id, broken && id.Reinstall
				return c, nil
			}
			c.Notes = append(c.Notes, err)
		}
		return c, errors.Join(append([]error{ErrNobody}, c.Notes...)...)
	}
	own, err := parse(*kept, nil)
	if err != nil {
		return c, fmt.Errorf("the identity that this node has kept: %w", err)
	}
	c.Signed, c.Identity = *kept, own
	for _, s := range offered {
		if bytes.Equal(s.Text, kept.Text) {
			continue
		}
		id, err := parse(s, own.Signer)
		switch {
		case err != nil:
			c.Notes = append(c.Notes, fmt.Errorf("an identity disk is ignored: %w", err))
		case id.Reinstall && id.Written.Before(own.Written):
			c.Notes = append(c.Notes, errors.New("an identity disk is ignored: it says to reinstall, and is older than the identity of this node"))
		case id.Provider != own.Provider || !id.Reinstall:
			c.Notes = append(c.Notes, fmt.Errorf("an identity disk is ignored: this node is %s of %s, and the disk does not say to reinstall", own.Node, own.Provider))
		default:
			return Choice{s, id, true, c.Notes}, nil
		}
	}
	return c, nil
}

// parse opens a signed identity. Without a signer to compare with, it must be
// signed by the key that it names itself.
func parse(s node.Signed, signer []byte) (node.Identity, error) {
	id, err := node.ParseIdentity(s.Text)
	if err != nil {
		return id, err
	}
	if signer == nil {
		signer = id.Signer
	}
	if _, err := s.Open(signer, node.ForIdentity); err != nil {
		return id, fmt.Errorf("identity of %s of %s: %w", id.Node, id.Provider, err)
	}
	return id, nil
}

// keptPath is the file with the identity, on perm. An image with a perm that was
// made for one node has it from the beginning.
func keptPath(perm string) string { return filepath.Join(perm, "identity", "identity.json") }

// Kept returns the identity that is kept on perm, or nil.
func Kept(perm string) (*node.Signed, error) {
	text, err := os.ReadFile(keptPath(perm))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s node.Signed
	if _, err := node.Decode(keptPath(perm), text, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// Keep keeps an identity on perm.
func Keep(perm string, s node.Signed) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.WriteFile(keptPath(perm), text, 0o600)
}
