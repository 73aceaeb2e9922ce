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
	"github.com/google/nftables/userdata"

	"leap.example/appliance/node"
)

// Apply makes the firewall what a document asks for, and reports whether it
// changed anything. Rules that are there already are left alone, with their
// limits and counts. What [ApplyGateway] left on a node that is no gateway any
// more goes. On an error the old rules stand.
func Apply(ctx context.Context, d node.Document) (bool, error) {
	changed, err := ruleset(d).apply(ctx)
	if err != nil || d.Gateway() {
		return changed, err
	}
	removed, err := remove(ctx, gatewayTable)
	return changed || removed, err
}

// apply makes the kernel's table of that name this one.
func (t table) apply(ctx context.Context) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	conn, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("reaching the firewall: %w", err)
	}
	there, err := t.same(conn)
	if err != nil {
		return false, fmt.Errorf("reading the firewall: %w", err)
	}
	if there {
		return false, nil
	}
	if err := t.replace(conn); err != nil {
		return false, fmt.Errorf("writing the firewall: %w", err)
	}
	if err := conn.Flush(); err != nil {
		return false, fmt.Errorf("writing the firewall: %w", err)
	}
	// Seen is believed.
	if there, err = t.same(conn); err == nil && !there {
		err = errors.New("the kernel has other rules than it was given")
	}
	return true, err
}

// remove takes a table away, and reports whether there was one.
func remove(ctx context.Context, name string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	conn, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("reaching the firewall: %w", err)
	}
	all, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("reading the firewall: %w", err)
	}
	i := slices.IndexFunc(all, func(t *nftables.Table) bool { return t.Name == name })
	if i < 0 {
		return false, nil
	}
	conn.DelTable(all[i])
	if err := conn.Flush(); err != nil {
		return false, fmt.Errorf("writing the firewall: %w", err)
	}
	return true, nil
}

// comments are what the rules of a chain carry in the kernel. The mark, of all
// that the table is written from, tells tables apart; their order and number
// tells whether one is whole.
func (t table) comments(c chain) []string {
	sum := sha256.Sum256([]byte(t.String()))
	mark := hex.EncodeToString(sum[:8])
	all := make([]string, 0, len(c.rules))
	for i, r := range c.rules {
		all = append(all, fmt.Sprintf("%s [%s %d]", r.why, mark, i))
	}
	return all
}

// same reports whether the kernel has exactly these chains and rules.
func (t table) same(conn *nftables.Conn) (bool, error) {
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, err
	}
	chains = slices.DeleteFunc(chains, func(c *nftables.Chain) bool { return c.Table.Name != t.name })
	if len(chains) != len(t.chains) {
		return false, nil
	}
	for _, w := range t.chains {
		i := slices.IndexFunc(chains, func(c *nftables.Chain) bool { return c.Name == w.name })
		if i < 0 || chains[i].Policy == nil || *chains[i].Policy != w.kernelPolicy() || chains[i].Hooknum == nil || *chains[i].Hooknum != *w.kernelHook() {
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
		if !slices.Equal(have, t.comments(w)) {
			return false, nil
		}
	}
	return true, nil
}

// replace prepares the transaction: the table goes, and is there again. To
// delete it, it must be there.
func (t table) replace(conn *nftables.Conn) error {
	own := &nftables.Table{Name: t.name, Family: nftables.TableFamilyINet}
	conn.AddTable(own)
	conn.DelTable(own)
	conn.AddTable(own)
	for _, s := range t.sets {
		if err := conn.AddSet(s.kernel(own), nil); err != nil {
			return err
		}
	}
	for _, c := range t.chains {
		policy := c.kernelPolicy()
		in := conn.AddChain(&nftables.Chain{
			Name: c.name, Table: own, Type: c.kind(), Hooknum: c.kernelHook(), Priority: c.kernelPriority(), Policy: &policy,
		})
		for i, comment := range t.comments(c) {
			r := &nftables.Rule{Table: own, Chain: in, UserData: userdata.AppendString(nil, userdata.TypeComment, comment)}
			for _, m := range c.rules[i].matches {
				r.Exprs = append(r.Exprs, m.exprs...)
			}
			r.Exprs = append(r.Exprs, c.rules[i].then.exprs...)
			conn.AddRule(r)
		}
	}
	return nil
}
