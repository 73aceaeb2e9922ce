package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/node"
	"leap.example/appliance/volume"
)

// askIdentity is how often disks are looked through for an identity.
const askIdentity = 3 * time.Second

// identify finds out who this node is. Without an identity it waits for a disk
// with one, until ctx is done.
func (p *pid1) identify(ctx context.Context) error {
	var kept *node.Signed
	if p.boot.Perm {
		var err error
		if kept, err = volume.Kept(node.Perm); err != nil {
			return fmt.Errorf("the identity that this node has kept: %w", err)
		}
	}
	told := ""
	for {
		offered, bad := volume.Here.Identities()
		c, err := volume.Choose(kept, offered, p.found && !p.boot.Perm)
		if err == nil {
			for _, note := range append(bad, c.Notes...) {
				p.trouble(note)
			}
			return p.become(c, kept != nil)
		}
		if !errors.Is(err, volume.ErrNobody) {
			return err
		}
		if text := errors.Join(append([]error{err}, bad...)...).Error(); text != told {
			told = text
			p.say("WAITING %s", strings.ReplaceAll(text, "\n", "\nleap:   "))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(askIdentity):
		}
	}
}

// become makes the identity that was chosen the node's.
func (p *pid1) become(c volume.Choice, kept bool) (err error) {
	if c.Reinstall {
		p.say("REINSTALLING: all that was on perm is dropped")
		mounted := p.boot.Perm
		if mounted {
			if err := unix.Unmount(node.Perm, 0); err != nil {
				return fmt.Errorf("reinstalling: %w", err)
			}
			p.boot.Perm = false
		}
		if err := p.disk.Erase(); err != nil {
			return fmt.Errorf("reinstalling: %w", err)
		}
		if p.boot.Perm = p.try("opening perm", p.openPerm); !p.boot.Perm {
			return errors.New("reinstalling did not succeed")
		}
		// What began without perm began as a makeshift.
		defer func() {
			if err == nil && !mounted {
				p.say("restarting with the new perm")
				p.halt(unix.LINUX_REBOOT_CMD_RESTART)
			}
		}()
	}
	if p.boot.Perm && (!kept || c.Reinstall) {
		if err := volume.Keep(node.Perm, c.Signed); err != nil {
			return fmt.Errorf("keeping the identity: %w", err)
		}
	}
	text, err := json.Marshal(c.Signed)
	if err != nil {
		return err
	}
	if err := os.WriteFile(node.IdentityFile, text, 0o600); err != nil {
		return err
	}
	print, err := node.Fingerprint(c.Identity.Certificate)
	if err != nil {
		return fmt.Errorf("the identity's certificate: %w", err)
	}
	p.say("this is %s of %s, agent on port %d, key %s", c.Identity.Node, c.Identity.Provider, c.Identity.Agent.Port, print)
	return nil
}
