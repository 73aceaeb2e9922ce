package clientupdate_test

import (
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// blocks reports whether the kill switch is there, and refuses: by its policy, or by its
// last rule, as the kernel sets the policy of a new chain a moment after it has taken the
// place of the old one.
func blocks() bool {
	conn, err := nftables.New()
	if err != nil {
		return false
	}
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	i := slices.IndexFunc(chains, func(c *nftables.Chain) bool { return c.Table.Name == "leap_vpn" && c.Name == "output" })
	if err != nil || i < 0 {
		return false
	}
	if p := chains[i].Policy; p != nil && *p == nftables.ChainPolicyDrop {
		return true
	}
	for range 1000 { // There are none to see while the old table, of the same name, is on its way out.
		rules, err := conn.GetRules(chains[i].Table, chains[i])
		if err == nil && len(rules) > 0 {
			last := rules[len(rules)-1].Exprs
			if len(last) != 1 {
				return false
			}
			_, refuses := last[0].(*expr.Reject)
			return refuses
		}
	}
	return false
}

// waiting is how many connections to a socket there are that are not taken yet, or
// more.
func waiting(socket string) int {
	text, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return 0
	}
	return strings.Count(string(text), " "+socket+"\n") - 1 // The listener is one.
}
