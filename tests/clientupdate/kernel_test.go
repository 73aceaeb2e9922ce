package clientupdate_test

import (
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
)

// blocks reports whether the kill switch is there: its chain, which ends in a rule
// that refuses all else. The chain's policy says less: the kernel sets it a moment
// after a new chain has taken the place of the old one.
func blocks() bool {
	conn, err := nftables.New()
	if err != nil {
		return false
	}
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	return err == nil && slices.ContainsFunc(chains, func(c *nftables.Chain) bool {
		return c.Table.Name == "leap_vpn" && c.Name == "output"
	})
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
