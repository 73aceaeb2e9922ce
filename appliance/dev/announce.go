package dev

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Announce writes endpoints.json and tells a person where everything listens.
func (p Provider) Announce(out io.Writer) error {
	e, err := p.Endpoints()
	if err != nil {
		return err
	}
	if err := writeJSON(p.Path("endpoints.json"), e); err != nil {
		return err
	}
	fmt.Fprintf(out, "LEAP provider %s on loopback, files under %s\n\n", p.Domain, p.Dir)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"web", e.Web + "  (in a browser: " + e.Loopback + ")"},
		{"api", e.API},
		{"nickserver", e.Nickserver},
		{"wkd", e.WKD},
		{"soledad", e.Soledad},
		{"database", e.Couch + "  (account admin, password in " + e.CouchPasswordFile + ")"},
		{"mail in", e.MX},
		{"submission", e.Submissions + " (TLS), " + e.Submission + " (STARTTLS)"},
		{"dns", e.Resolver},
		{"vpn", vpn(e.Gateways)},
		{"health", "http://" + e.Health + "/"},
		{"invite code", e.Invite},
	} {
		fmt.Fprintf(w, "  %s\t%s\n", row[0], row[1])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\njoin:  leapc provider add %s --ca-fingerprint '%s' --resolver %s\n", e.Bootstrap, e.Fingerprint, e.Resolver)
	return err
}

// vpn names the gateways, and by which address each lets traffic out.
func vpn(list []Gateway) string {
	var all []string
	for _, g := range list {
		all = append(all, fmt.Sprintf("%s at %s (leaves by %v)", g.Name, g.Lease, g.Egress))
	}
	return strings.Join(all, ", ")
}
