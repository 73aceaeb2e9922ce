package firewall

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"

	"leap.example/appliance/node"
)

// table is the name of the only table that this package touches.
const table = "leap"

// Apply makes the firewall what a document asks for, and reports whether it
// changed anything. Rules that are there already are left alone, with their
// limits and counts. On an error the old rules stand.
func Apply(ctx context.Context, d node.Document) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	conn, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("reaching the firewall: %w", err)
	}
	want, mark := ruleset(d), digest(d)
	there, err := same(conn, want, mark)
	if err != nil {
		return false, fmt.Errorf("reading the firewall: %w", err)
	}
	if there {
		return false, nil
	}
	replace(conn, want, mark)
	if err := conn.Flush(); err != nil {
		return false, fmt.Errorf("writing the firewall: %w", err)
	}
	// Seen is believed.
	if there, err = same(conn, want, mark); err == nil && !there {
		err = errors.New("the kernel has other rules than it was given")
	}
	return true, err
}

// digest marks the rules of one ruleset, as what they are written from.
func digest(d node.Document) string {
	sum := sha256.Sum256([]byte(Text(d)))
	return hex.EncodeToString(sum[:8])
}

// comments are what the rules of a chain carry in the kernel. The mark tells
// rulesets apart, their order and number tells whether one is whole.
func comments(c chain, mark string) []string {
	all := make([]string, 0, len(c.rules))
	for i, r := range c.rules {
		all = append(all, fmt.Sprintf("%s [%s %d]", r.why, mark, i))
	}
	return all
}

// same reports whether the kernel has exactly these chains and rules.
func same(conn *nftables.Conn, want []chain, mark string) (bool, error) {
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, err
	}
	chains = slices.DeleteFunc(chains, func(c *nftables.Chain) bool { return c.Table.Name != table })
	if len(chains) != len(want) {
		return false, nil
	}
	for _, w := range want {
		i := slices.IndexFunc(chains, func(c *nftables.Chain) bool { return c.Name == w.name })
		if i < 0 || chains[i].Policy == nil || *chains[i].Policy != policy(w) || chains[i].Hooknum == nil || *chains[i].Hooknum != *hook(w) {
			return false, nil
		}
		rules, err := conn.GetRules(chains[i].Table, chains[i])
		if err != nil {
			return false, err
		}
		var have []string
		for _, r := range rules {
			text, _ := userdata.GetString(r.UserData, userdata.TypeComment)
			have = append(have, strings.TrimRight(text, "\x00"))
		}
		if !slices.Equal(have, comments(w, mark)) {
			return false, nil
		}
	}
	return true, nil
}

func policy(c chain) nftables.ChainPolicy {
	if c.policy == accept {
		return nftables.ChainPolicyAccept
	}
	return nftables.ChainPolicyDrop
}

func hook(c chain) *nftables.ChainHook {
	return map[string]*nftables.ChainHook{
		"input": nftables.ChainHookInput, "forward": nftables.ChainHookForward, "output": nftables.ChainHookOutput,
	}[c.name]
}

// replace prepares the transaction: the table goes, and is there again. To
// delete it, it must be there.
func replace(conn *nftables.Conn, want []chain, mark string) {
	t := &nftables.Table{Name: table, Family: nftables.TableFamilyINet}
	conn.AddTable(t)
	conn.DelTable(t)
	conn.AddTable(t)
	for _, c := range want {
		p := policy(c)
		in := conn.AddChain(&nftables.Chain{
			Name: c.name, Table: t, Type: nftables.ChainTypeFilter, Hooknum: hook(c), Priority: nftables.ChainPriorityFilter, Policy: &p,
		})
		for i, comment := range comments(c, mark) {
			r := &nftables.Rule{Table: t, Chain: in, UserData: userdata.AppendString(nil, userdata.TypeComment, comment)}
			for _, m := range c.rules[i].matches {
				r.Exprs = append(r.Exprs, m.exprs...)
			}
			r.Exprs = append(r.Exprs, &expr.Verdict{Kind: map[verdict]expr.VerdictKind{accept: expr.VerdictAccept, drop: expr.VerdictDrop}[c.rules[i].verdict]})
			conn.AddRule(r)
		}
	}
}
