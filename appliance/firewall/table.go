package firewall

import (
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// A table is rules that come and go as one.
type table struct {
	name   string
	sets   []set
	chains []chain
}

// A set is of addresses of one family.
type set struct {
	name  string
	six   bool // Of IPv6.
	meter bool // Rules fill it, and it forgets; otherwise this process fills it.
}

// A chain is the rules of one hook of the kernel.
type chain struct {
	name     string
	hook     string // "": the same as name.
	priority string // "": filter. "raw", "dstnat" and "srcnat" are nft's.
	policy   action // accept or drop.
	rules    []rule
}

// A rule is one line of a chain.
type rule struct {
	matches []match
	then    action
	why     string // For people, at most 60 characters.
}

// An action is what happens to a packet that a rule matches: as nft writes it,
// and as the kernel reads it.
type action struct {
	text  string
	exprs []expr.Any
}

var (
	accept = action{"accept", []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}}
	drop   = action{"drop", []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}}
)

// closed is a chain that drops what its rules say nothing of. Its policy alone does
// not: Linux gives a new chain its rules before it takes the old chain away, and its
// policy after that.
func closed(name string, rules []rule) chain {
	return chain{name: name, policy: drop, rules: append(rules, rule{then: drop, why: "all else"})}
}

func (r rule) String() string {
	var b strings.Builder
	for _, m := range r.matches {
		b.WriteString(m.text + " ")
	}
	fmt.Fprintf(&b, "%s comment %q", r.then.text, r.why)
	return b.String()
}

// String is the table in the form of nft.
func (t table) String() string {
	var b strings.Builder
	b.WriteString("table inet " + t.name + " {\n")
	for _, s := range t.sets {
		kind := map[bool]string{false: "ipv4_addr", true: "ipv6_addr"}[s.six]
		fmt.Fprintf(&b, "\tset %s {\n\t\ttype %s\n", s.name, kind)
		if s.meter {
			fmt.Fprintf(&b, "\t\tsize %d\n\t\tflags dynamic,timeout\n\t\ttimeout %v\n", meterSize, meterMemory)
		}
		b.WriteString("\t}\n")
	}
	for _, c := range t.chains {
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype %s hook %s priority %s; policy %s;\n", c.name, c.kind(), c.at(), c.order(), c.policy.text)
		for _, r := range c.rules {
			fmt.Fprintf(&b, "\t\t%v\n", r)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func (c chain) at() string {
	if c.hook == "" {
		return c.name
	}
	return c.hook
}

func (c chain) order() string {
	if c.priority == "" {
		return "filter"
	}
	return c.priority
}

func (c chain) kind() nftables.ChainType {
	if strings.HasSuffix(c.priority, "nat") {
		return nftables.ChainTypeNAT
	}
	return nftables.ChainTypeFilter
}

func (c chain) kernelPolicy() nftables.ChainPolicy {
	if c.policy.text == accept.text {
		return nftables.ChainPolicyAccept
	}
	return nftables.ChainPolicyDrop
}

func (c chain) kernelHook() *nftables.ChainHook {
	return map[string]*nftables.ChainHook{
		"prerouting": nftables.ChainHookPrerouting, "input": nftables.ChainHookInput, "forward": nftables.ChainHookForward,
		"output": nftables.ChainHookOutput, "postrouting": nftables.ChainHookPostrouting,
	}[c.at()]
}

func (c chain) kernelPriority() *nftables.ChainPriority {
	return map[string]*nftables.ChainPriority{
		"filter": nftables.ChainPriorityFilter, "raw": nftables.ChainPriorityRaw,
		"dstnat": nftables.ChainPriorityNATDest, "srcnat": nftables.ChainPriorityNATSource,
	}[c.order()]
}
