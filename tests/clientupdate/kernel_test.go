package clientupdate_test

import (
	"os"
	"strings"

	"github.com/google/nftables"
)

var (
	leapTable  = &nftables.Table{Name: "leap_vpn", Family: nftables.TableFamilyINet}
	leapOutput = &nftables.Chain{Name: "output", Table: leapTable}
)

// blocks reports whether the table of the kill switch is there, and drops.
func blocks() bool {
	conn, err := nftables.New()
	if err != nil {
		return false
	}
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	for _, c := range chains {
		if c.Table.Name == leapTable.Name && c.Name == leapOutput.Name {
			return err == nil && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
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
