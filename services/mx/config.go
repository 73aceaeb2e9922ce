package mx

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"leap.example/services/protocol/nick"
)

// Config is the section "mx" of the configuration.
type Config struct {
	Listen   string   `json:"listen"`   // host:port of SMTP. Required.
	Hostname string   `json:"hostname"` // What the server calls itself, the name in its certificate. Required.
	Domains  []string `json:"domains"`  // Mail domains whose addresses are in identities. Required: one.

	// Addresses that stand for others, all in Domains: "postmaster@…" for the
	// operators, lists. They may stand for each other.
	Aliases map[string][]string `json:"aliases,omitempty"`

	CertFile string `json:"cert_file,omitempty"` // PEM, for STARTTLS. Empty: no STARTTLS.
	KeyFile  string `json:"key_file,omitempty"`  // PEM.

	SigningKeyFile  string `json:"signing_key_file"`  // Armoured private OpenPGP key that signs envelopes. Required.
	QueueSecretFile string `json:"queue_secret_file"` // 32 octets in hex, the same on all mail servers of the provider. Required.

	Resolver        string `json:"resolver,omitempty"`          // host:port that is asked for SPF, DKIM and DMARC. Empty: no checks.
	DMARCRecordOnly bool   `json:"dmarc_record_only,omitempty"` // Take also what its author's domain wants refused.

	SpoolDir string `json:"spool_dir,omitempty"` // For sealed pieces of messages above 1 MiB. Empty: they stay in memory.
	Memory   int64  `json:"memory,omitempty"`    // For messages, octets: half while they come in, half while they are sealed. 0: 384 MiB.
	MaxSize  int64  `json:"max_size,omitempty"`  // Of a message, octets. 0: 35 MiB.
	Quota    int64  `json:"quota,omitempty"`     // Of a user's database, octets: beyond it there is no mail for the user. 0: 1 GiB.

	Connections      int            `json:"connections,omitempty"`       // At once. 0: 500.
	PeerConnections  int            `json:"peer_connections,omitempty"`  // At once from one network. 0: 20.
	PeerRate         int            `json:"peer_rate,omitempty"`         // Connections a minute from one network. 0: 120.
	UnknownAddresses int            `json:"unknown_addresses,omitempty"` // That one network may name; it gains one a minute. 0: 20.
	Trusted          []netip.Prefix `json:"trusted,omitempty"`           // Networks without these limits and the delay.

	GreetingDelay string `json:"greeting_delay,omitempty"` // Who talks before the greeting is refused. "": "1s".
	Timeout       string `json:"timeout,omitempty"`        // For a peer that is silent. "": "5m".
}

// Defaults.
const (
	defaultMemory  = 384 << 20
	defaultMaxSize = 35 << 20
	// copies is how many times its length a message takes while it is sealed.
	copies = 5
)

// Validate reports what is missing or wrong.
func (c Config) Validate() error {
	_, err := c.settings()
	return err
}

// settings is a Config that was read.
type settings struct {
	Config
	aliases         map[nick.Address][]nick.Address
	delay, patience time.Duration
}

// settings fills in the defaults and reports what is missing or wrong.
func (c Config) settings() (settings, error) {
	s := settings{Config: c, aliases: map[nick.Address][]nick.Address{}}
	if c.Listen == "" || c.Hostname == "" || len(c.Domains) == 0 || c.SigningKeyFile == "" || c.QueueSecretFile == "" {
		return s, errors.New("listen, hostname, domains, signing_key_file and queue_secret_file are required")
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return s, errors.New("cert_file and key_file belong together")
	}
	for _, d := range c.Domains {
		if a, err := nick.ParseAddress("x@" + d); err != nil || a.Domain() != d {
			return s, fmt.Errorf("domain %q is not a domain in lower case", d)
		}
	}
	if c.Resolver != "" {
		if _, _, err := net.SplitHostPort(c.Resolver); err != nil {
			return s, fmt.Errorf("resolver: %w", err)
		}
	}
	for _, p := range c.Trusted {
		if !p.IsValid() {
			return s, errors.New("a trusted network is invalid")
		}
	}
	fill(&s.Memory, defaultMemory)
	fill(&s.MaxSize, defaultMaxSize)
	fill(&s.Quota, 1<<30)
	fill(&s.Connections, 500)
	fill(&s.PeerConnections, 20)
	fill(&s.PeerRate, 120)
	fill(&s.UnknownAddresses, 20)
	if min(s.MaxSize, s.Quota, int64(s.Connections), int64(s.PeerConnections), int64(s.PeerRate), int64(s.UnknownAddresses)) < 0 {
		return s, errors.New("a limit is negative")
	}
	if s.Memory/2 < copies*s.MaxSize {
		return s, fmt.Errorf("memory must be %d times max_size", 2*copies)
	}
	var err error
	if s.delay, err = duration(c.GreetingDelay, time.Second); err != nil {
		return s, fmt.Errorf("greeting_delay: %w", err)
	}
	if s.patience, err = duration(c.Timeout, 5*time.Minute); err != nil {
		return s, fmt.Errorf("timeout: %w", err)
	}
	return s, s.readAliases()
}

func (s *settings) readAliases() error {
	for from, to := range s.Aliases {
		a, err := s.own(from)
		if err != nil {
			return err
		}
		for _, t := range to {
			b, err := s.own(t)
			if err != nil {
				return err
			}
			s.aliases[a] = append(s.aliases[a], b)
		}
	}
	return nil
}

// own parses an address that must be in one of the domains.
func (s *settings) own(address string) (nick.Address, error) {
	a, err := nick.ParseAddress(address)
	if err != nil || !s.ours(a) {
		return "", fmt.Errorf("alias %q is not an address in domains", address)
	}
	return a, nil
}

func fill[T int | int64](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}

// duration reads a duration; "" is otherwise.
func duration(s string, otherwise time.Duration) (time.Duration, error) {
	if s == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(s)
	if err == nil && d < 0 {
		err = errors.New("is negative")
	}
	return d, err
}
