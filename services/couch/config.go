package couch

import (
	"errors"
	"fmt"
	"net"
	"net/url"
)

// Config is the section "couch" of the configuration: one account on the
// database nodes.
type Config struct {
	// URLs are the nodes, "http://host:port" or "https://…", without path or
	// password. One is chosen at random and kept while it works. Required.
	URLs []string `json:"urls"`
	// Resolver is the DNS server, host:port, that is asked for the hosts of
	// URLs. Empty: URLs have IP addresses or "localhost".
	Resolver string `json:"resolver,omitempty"`
	// User is the name of the account, see [Accounts]. Required.
	User string `json:"user"`
	// PasswordFile is the path of a file with the account's password; a newline
	// at its end does not count. It is read at the first request. Required.
	PasswordFile string `json:"password_file"`
	// CAFile is the path of PEM certificates that sign the nodes' own. Empty:
	// the system's roots. Of https alone.
	CAFile string `json:"ca_file,omitempty"`
	// External says that the nodes are Apache CouchDB, where two nodes may
	// accept different edits of one revision: what must be unique is then read
	// back from a quorum. During a partition nothing is unique there.
	External bool `json:"external,omitempty"`
	// Q is how many shards a new database has that all users share; those of
	// single users have as many as the nodes think best. 0: that too.
	Q int `json:"q,omitempty"`
	// N is how many copies a new database has. 0: as many as the nodes think
	// best. With External alone. Quorums are the nodes' own, majorities of N.
	N int `json:"n,omitempty"`
}

// Validate reports what is missing or wrong.
func (c Config) Validate() error {
	if len(c.URLs) == 0 || c.User == "" || c.PasswordFile == "" {
		return errors.New("urls, user and password_file are required")
	}
	if c.Q < 0 || c.N < 0 || !c.External && c.N > 0 {
		return errors.New("q and n are positive, and n of external nodes")
	}
	if _, _, err := net.SplitHostPort(c.Resolver); c.Resolver != "" && err != nil {
		return fmt.Errorf("resolver: %w", err)
	}
	for _, s := range c.URLs {
		u, err := url.Parse(s)
		switch {
		case err != nil:
			return fmt.Errorf("urls: %w", err)
		case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
			return fmt.Errorf("urls: %s is no http or https URL", u.Redacted())
		case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
			return fmt.Errorf("urls: %s has more than a host and a port", u.Redacted())
		case c.Resolver == "" && u.Hostname() != "localhost" && net.ParseIP(u.Hostname()) == nil:
			return fmt.Errorf("urls: %s has a name, and there is no resolver", u.Redacted())
		}
	}
	return nil
}
