package kernel

import (
	"errors"
	"fmt"
	"os"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"leap.example/client/vpn/policy"
)

// guard watches the machine's firewall, and puts the table back when somebody
// flushes all: a restart of Debian's nftables.service does. Between the two lie
// some milliseconds that nobody can close.
func (p *Path) guard() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("watching the firewall: %w", err)
	}
	changes := os.NewFile(uintptr(fd), "nftables")
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.NFNLGRP_NFTABLES)
	}
	if err != nil {
		return fmt.Errorf("watching the firewall: %w", errors.Join(err, changes.Close()))
	}
	p.stop = changes.Close
	p.done.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			// What has changed does not matter. ENOBUFS: too much has.
			_, err := changes.Read(buf)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err := p.restore(); err != nil {
				p.log.Error("somebody removed the firewall's table, and it could not be put back", "err", err)
			}
		}
	})
	return nil
}

// restore puts the table back if it is not there as it was made.
func (p *Path) restore() error {
	p.applying.Lock()
	defer p.applying.Unlock()
	q := p.current()
	if q.Mode == policy.Open {
		return nil
	}
	ok, err := whole(q)
	if err != nil || ok {
		return err
	}
	if err := install(q, p.gone(q)); err != nil {
		return err
	}
	p.log.Warn("somebody removed the firewall's table: it is there again")
	return nil
}

// whole reports whether the table has its chains and they let nothing through
// by themselves. A chain that was flushed blocks; a rule that was added is
// somebody's will.
func whole(q policy.Policy) (bool, error) {
	conn, err := nftables.New()
	if err != nil {
		return false, err
	}
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, err
	}
	there := 0
	for _, c := range chains {
		if c.Table.Name == table && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			there++
		}
	}
	return there == len(ruleset(q, nil, false)), nil
}
