package relay

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"leap.example/services/protocol/nick"
)

// Config is the section "relay" of the configuration.
type Config struct {
	ListenTLS      string   `json:"listen_tls,omitempty"`      // host:port of submission with implicit TLS (465). One of the two is required.
	ListenSTARTTLS string   `json:"listen_starttls,omitempty"` // host:port of submission with STARTTLS (587).
	Hostname       string   `json:"hostname"`                  // What the server calls itself, the name in its certificate. Required.
	Domains        []string `json:"domains"`                   // The provider's mail domains; notifications come from the first. Required: one.

	CertFile     string `json:"cert_file"`                // PEM. Required.
	KeyFile      string `json:"key_file"`                 // PEM. Required.
	ClientCAFile string `json:"client_ca_file,omitempty"` // PEM of the CA of client certificates. Empty: tokens only.
	QueueKeyFile string `json:"queue_key_file"`           // 32 octets in hex, which seal the queue. Required.

	DKIM []ConfigDKIM `json:"dkim,omitempty"` // Keys; every message is signed with each. Empty: unsigned.

	MX        ConfigHop `json:"mx,omitzero"`        // Server of Domains. Empty: as for other domains.
	Smarthost ConfigHop `json:"smarthost,omitzero"` // Server of other domains. Empty: their own.
	Resolver  string    `json:"resolver,omitempty"` // host:port that is asked for servers. Empty: none are found, and MX and Smarthost are IP addresses.

	ForeignPort  int  `json:"foreign_port,omitempty"`  // Of servers of other domains. 0: 25.
	AllowPrivate bool `json:"allow_private,omitempty"` // Deliver to servers of other domains in private networks.

	Retry   []string `json:"retry,omitempty"`   // Pauses after the first, second… attempt; the last one goes on. Empty: the table of the package.
	Life    string   `json:"life,omitempty"`    // Of a message in the queue. "": "120h".
	Attempt string   `json:"attempt,omitempty"` // Longest time of one. "": "15m".
	Poll    string   `json:"poll,omitempty"`    // Between looks into the queue if nothing wakes the workers. "": "10s".
	Workers int      `json:"workers,omitempty"` // Attempts at once. 0: 16.

	MessagesPerMinute int   `json:"messages_per_minute,omitempty"` // Of one user. 0: 60.
	Burst             int   `json:"burst,omitempty"`               // Messages of one user at once. 0: 10.
	Recipients        int   `json:"recipients,omitempty"`          // Of a message. 0: 150.
	MaxSize           int64 `json:"max_size,omitempty"`            // Of a message, octets. 0: 35 MiB.
	Memory            int64 `json:"memory,omitempty"`              // For messages while they are submitted, octets. 0: 384 MiB.

	Connections     int    `json:"connections,omitempty"`      // At once. 0: 500.
	PeerConnections int    `json:"peer_connections,omitempty"` // At once from one network. 0: 50.
	LoginFailures   int    `json:"login_failures,omitempty"`   // That one network may make; it gains one a minute. 0: 20.
	Timeout         string `json:"timeout,omitempty"`          // For a client that is silent. "": "5m".
}

// ConfigDKIM is one key that signs.
type ConfigDKIM struct {
	Selector string `json:"selector"` // SELECTOR._domainkey.DOMAIN holds the public key. Required.
	KeyFile  string `json:"key_file"` // PEM: RSA of 2048 bits, or Ed25519. Required.
}

// ConfigHop is a server to which mail is always handed over.
type ConfigHop struct {
	Address string `json:"address,omitempty"` // host:port.
	Name    string `json:"name,omitempty"`    // In its certificate. Empty: the host of Address.
	CAFile  string `json:"ca_file,omitempty"` // PEM of the CA that it must prove itself by. Empty: opportunistic TLS.
}

// settings is a Config that was read.
type settings struct {
	Config
	retry                         []time.Duration
	life, attempt, poll, patience time.Duration
}

// pauses are those between attempts unless Config says otherwise. The first are
// short: what most often is not there is the provider's own database, for the
// seconds of an election.
var pauses = []string{"20s", "90s", "7m30s", "15m", "30m", "1h", "2h", "4h", "8h", "16h"}

// Validate reports what is missing or wrong.
func (c Config) Validate() error {
	_, err := c.settings()
	return err
}

// settings fills in the defaults and reports what is missing or wrong.
func (c Config) settings() (settings, error) {
	s := settings{Config: c}
	if c.ListenTLS == "" && c.ListenSTARTTLS == "" {
		return s, errors.New("listen_tls or listen_starttls is required")
	}
	if c.Hostname == "" || len(c.Domains) == 0 || c.CertFile == "" || c.KeyFile == "" || c.QueueKeyFile == "" {
		return s, errors.New("hostname, domains, cert_file, key_file and queue_key_file are required")
	}
	for _, d := range c.Domains {
		if a, err := nick.ParseAddress("x@" + d); err != nil || a.Domain() != d {
			return s, fmt.Errorf("domain %q is not a domain in lower case", d)
		}
	}
	for _, k := range c.DKIM {
		if k.Selector == "" || k.KeyFile == "" {
			return s, errors.New("dkim: selector and key_file are required")
		}
	}
	for name, address := range map[string]string{"mx": c.MX.Address, "smarthost": c.Smarthost.Address, "resolver": c.Resolver} {
		if _, _, err := net.SplitHostPort(address); address != "" && err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	for name, address := range map[string]string{"mx": c.MX.Address, "smarthost": c.Smarthost.Address} {
		host, _, err := net.SplitHostPort(address)
		if err == nil && c.Resolver == "" && net.ParseIP(host) == nil {
			return s, fmt.Errorf("%s: %q is a name, and there is no resolver", name, host)
		}
	}
	fill(&s.ForeignPort, 25)
	fill(&s.Workers, 16)
	fill(&s.MessagesPerMinute, 60)
	fill(&s.Burst, 10)
	fill(&s.Recipients, 150)
	fill(&s.MaxSize, 35<<20)
	fill(&s.Memory, 384<<20)
	fill(&s.Connections, 500)
	fill(&s.PeerConnections, 50)
	fill(&s.LoginFailures, 20)
	if min(s.ForeignPort, s.Workers, s.MessagesPerMinute, s.Burst, s.Recipients, s.Connections, s.PeerConnections, s.LoginFailures) < 0 || s.MaxSize < 0 {
		return s, errors.New("a limit is negative")
	}
	if s.Memory < copies*(s.MaxSize+1) {
		return s, fmt.Errorf("memory must be more than %d times max_size", copies)
	}
	return s, s.readTimes()
}

func (s *settings) readTimes() error {
	for _, t := range []struct {
		name, value, otherwise string
		into                   *time.Duration
	}{
		{"life", s.Life, "120h", &s.life},
		{"attempt", s.Attempt, "15m", &s.attempt},
		{"poll", s.Poll, "10s", &s.poll},
		{"timeout", s.Timeout, "5m", &s.patience},
	} {
		if t.value == "" {
			t.value = t.otherwise
		}
		var err error
		if *t.into, err = positive(t.value); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	if len(s.Retry) == 0 {
		s.Retry = pauses
	}
	for _, p := range s.Retry {
		d, err := positive(p)
		if err != nil {
			return fmt.Errorf("retry: %w", err)
		}
		s.retry = append(s.retry, d)
	}
	return nil
}

func positive(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil && d <= 0 {
		err = errors.New("is not positive")
	}
	return d, err
}

func fill[T int | int64](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}

// local reports whether mail for domain stays here.
func (s *settings) local(domain string) bool {
	for _, d := range s.Domains {
		if strings.EqualFold(d, domain) {
			return true
		}
	}
	return false
}
