package bigcouch

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Config is the section "bigcouch" of the configuration. "leap compile" writes
// it; nothing changes it on the node.
type Config struct {
	Listen string `json:"listen"` // host:port of the CouchDB API, an address of the mesh. Required.
	Dir    string `json:"dir"`    // Directory of the store, made if it is not there. Required.

	// KeyFiles name the files of the keys that seal the store on disk, each 64
	// hex digits: the first seals what is written, the others still open what
	// was. To change the key, put a new file first; an old one may go when
	// "leapd couch keys" no longer lists its key, nor a copy of Dir needs it. Empty:
	// the store lies on the disk in the clear.
	KeyFiles []string `json:"key_files,omitempty"`

	// Accounts of the provider's services. Other accounts are documents of
	// the database _users.
	Accounts []ConfigAccount `json:"accounts,omitempty"`

	// A secret, one line, that is shared with proxies which authenticate users
	// by themselves and say whom they let in (X-Auth-CouchDB-UserName, -Roles
	// and -Token, the hex HMAC of the name). Empty: nobody is believed.
	ProxySecretFile string `json:"proxy_secret_file,omitempty"`

	CORS ConfigCORS `json:"cors,omitzero"` // What pages of other origins may do.

	Cluster *ConfigCluster `json:"cluster,omitempty"` // The other nodes. None: this node is by itself.

	// Of replications with databases elsewhere: the DNS server, host:port, that
	// is asked for their names; empty: only IP addresses and "localhost" are
	// known. The path of PEM certificates that sign theirs; empty: the system's
	// roots. And what users who are not server administrators may reach beside
	// the internet: networks like 192.0.2.0/24.
	Resolver            string   `json:"resolver,omitempty"`
	ReplicationCAFile   string   `json:"replication_ca_file,omitempty"`
	ReplicationNetworks []string `json:"replication_networks,omitempty"`

	MaxDocumentSize   int64 `json:"max_document_size,omitempty"`   // Bytes of one document without attachments. 0: 8,000,000.
	MaxRequestSize    int64 `json:"max_request_size,omitempty"`    // Bytes of a JSON body, unpacked. 0: 64 MiB.
	MaxAttachmentSize int64 `json:"max_attachment_size,omitempty"` // Bytes of one attachment. 0: 256 MiB.

	CacheBytes    int64  `json:"cache_bytes,omitempty"`     // Block cache. 0: 16 MiB.
	MemTableBytes int64  `json:"mem_table_bytes,omitempty"` // Each of two tables of recent writes. 0: 8 MiB.
	MinFreeBytes  uint64 `json:"min_free_bytes,omitempty"`  // With less space on the disk, writes are refused. 0: 64 MiB.
}

// A ConfigAccount is one account of the provider.
type ConfigAccount struct {
	Name         string   `json:"name"`            // Required.
	PasswordFile string   `json:"password_file"`   // Path of a file with the password; a newline at its end does not count. Required.
	Roles        []string `json:"roles,omitempty"` // What security objects of databases may name. Not those that begin with "_".
	Admin        bool     `json:"admin,omitempty"` // Server administrator: every database is open to it.
}

// ConfigCORS says which pages may use this server from a browser. Without
// origins no page may.
type ConfigCORS struct {
	Origins     []string `json:"origins,omitempty"`     // "https://app.example.org", or "*" for all.
	Credentials bool     `json:"credentials,omitempty"` // Pages may act with the user's session. Not with "*".
	Methods     []string `json:"methods,omitempty"`     // Default: all that there are.
	Headers     []string `json:"headers,omitempty"`     // Of requests. Default: those that CouchDB's clients send.
	MaxAge      int      `json:"max_age,omitempty"`     // Seconds for which a browser may remember the answer. 0: 600.
}

// Validate reports what is missing or wrong.
func (c Config) Validate() error {
	if c.Listen == "" || c.Dir == "" {
		return errors.New("listen and dir are required")
	}
	if slices.Contains(c.KeyFiles, "") {
		return errors.New("key_files: a name is empty")
	}
	seen := map[string]bool{}
	for _, a := range c.Accounts {
		if a.Name == "" || a.PasswordFile == "" {
			return errors.New("accounts: name and password_file are required")
		}
		if seen[a.Name] {
			return fmt.Errorf("accounts: %q is there twice", a.Name)
		}
		seen[a.Name] = true
		if slices.ContainsFunc(a.Roles, func(r string) bool { return r == "" || r[0] == '_' }) {
			return fmt.Errorf("accounts: %q: a role is empty or begins with _", a.Name)
		}
	}
	if _, _, err := net.SplitHostPort(c.Resolver); c.Resolver != "" && err != nil {
		return fmt.Errorf("resolver: %w", err)
	}
	for _, n := range c.ReplicationNetworks {
		if _, err := netip.ParsePrefix(n); err != nil {
			return fmt.Errorf("replication_networks: %w", err)
		}
	}
	if c.Cluster != nil {
		if err := c.Cluster.validate(); err != nil {
			return err
		}
	}
	if c.CORS.Credentials && slices.Contains(c.CORS.Origins, "*") {
		return errors.New("cors: credentials for every origin")
	}
	for _, n := range []int64{int64(c.CORS.MaxAge), c.MaxDocumentSize, c.MaxRequestSize, c.MaxAttachmentSize, c.CacheBytes, c.MemTableBytes} {
		if n < 0 {
			return errors.New("a size is negative")
		}
	}
	return nil
}

// networks returns ReplicationNetworks, which Validate has seen.
func (c Config) networks() (out []netip.Prefix) {
	for _, n := range c.ReplicationNetworks {
		if p, err := netip.ParsePrefix(n); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	c.MaxDocumentSize = cmp.Or(c.MaxDocumentSize, 8_000_000)
	c.MaxRequestSize = cmp.Or(c.MaxRequestSize, 64<<20)
	c.MaxAttachmentSize = cmp.Or(c.MaxAttachmentSize, 256<<20)
	c.CacheBytes = cmp.Or(c.CacheBytes, 16<<20)
	c.MemTableBytes = cmp.Or(c.MemTableBytes, 8<<20)
	c.CORS.MaxAge = cmp.Or(c.CORS.MaxAge, 600)
	c.MinFreeBytes = cmp.Or(c.MinFreeBytes, 64<<20)
	return c
}
