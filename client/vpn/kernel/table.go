package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"leap.example/client/vpn/policy"
)

// install replaces the table by the rules of p, or removes it, in one
// transaction: there is no moment without rules, and none with half of them. On
// an error the old ones stand.
//
// The table never has the owner flag, with which it would go when its process
// does. gone are addresses that tunnels have had: with Open, a table of its own
// keeps their sockets from sending.
func install(p policy.Policy, gone []netip.Addr) error {
	name := table
	if p.Mode == policy.Open {
		name = rest
	}
	err := write(name, ruleset(p, gone, true))
	if errors.Is(err, unix.EOPNOTSUPP) && len(p.Exclude) > 0 {
		// A kernel without CONFIG_NF_CONNTRACK_MARK: the last segments of connections
		// of users outside the tunnel are lost when their program ends at once.
		err = write(name, ruleset(p, gone, false))
	}
	return err
}

// write is the transaction. Of the two tables there is at most one afterwards.
func write(name string, want []chain) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("reaching the firewall: %w", err)
	}
	for _, each := range []string{table, rest} {
		t := &nftables.Table{Name: each, Family: nftables.TableFamilyINet}
		conn.AddTable(t) // To be deleted, it must be there.
		conn.DelTable(t)
	}
	if len(want) > 0 {
		t := &nftables.Table{Name: name, Family: nftables.TableFamilyINet}
		conn.AddTable(t)
		for _, c := range want {
			fill(conn, t, c)
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("writing the firewall: %w", err)
	}
	return nil
}

// installed reports whether the table is there.
func installed() (bool, error) {
	conn, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("reaching the firewall: %w", err)
	}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("reading the firewall: %w", err)
	}
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == table }), nil
}

func fill(conn *nftables.Conn, t *nftables.Table, c chain) {
	policy := nftables.ChainPolicyDrop
	if c.open {
		policy = nftables.ChainPolicyAccept
	}
	in := conn.AddChain(&nftables.Chain{
		Name: c.name, Table: t, Type: nftables.ChainTypeFilter, Priority: nftables.ChainPriorityFilter, Policy: &policy,
		Hooknum: map[string]*nftables.ChainHook{
			"input": nftables.ChainHookInput, "forward": nftables.ChainHookForward, "output": nftables.ChainHookOutput,
		}[c.name],
	})
	for _, r := range c.rules {
		k := &nftables.Rule{Table: t, Chain: in, UserData: userdata.AppendString(nil, userdata.TypeComment, r.why)}
		for _, m := range r.matches {
			k.Exprs = append(k.Exprs, m.exprs...)
		}
		k.Exprs = append(k.Exprs, verdicts[r.verdict])
		conn.AddRule(k)
	}
}

var verdicts = map[verdict]expr.Any{
	accept: &expr.Verdict{Kind: expr.VerdictAccept},
	drop:   &expr.Verdict{Kind: expr.VerdictDrop},
	reset:  &expr.Reject{Type: unix.NFT_REJECT_TCP_RST},
	reject: &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED},
}
