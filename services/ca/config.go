package ca

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"leap.example/services/protocol/lease"
)

const (
	defaultPoolSize = 100
	maxPoolSize     = 1000
	defaultVPNLife  = 7 * 24 * time.Hour
	defaultSMTPLife = 30 * 24 * time.Hour
	defaultPrefix   = "UNLIMITED"
)

// Config is the section "ca" of the configuration.
type Config struct {
	Domain   string `json:"domain"`    // SMTP certificates are for addresses in it. Required.
	KeyFile  string `json:"key_file"`  // Private key of the client CA, PEM. Required. Nobody else reads it.
	CertFile string `json:"cert_file"` // Certificate of the client CA, PEM. Required.
	// PoolSize is how many anonymous certificates of each plan wait to be taken,
	// at most 1000. Default 100.
	PoolSize int `json:"pool_size,omitempty"`
	// VPNLife is the life of an anonymous certificate: a duration with a unit,
	// at least an hour. Default "168h".
	VPNLife string `json:"vpn_life,omitempty"`
	// SMTPLife is the life of a certificate for submitting mail. Default "720h".
	SMTPLife string `json:"smtp_life,omitempty"`
	// Plans are those of anonymous certificates: "unlimited", "limited". Default:
	// that of Prefix.
	Plans []lease.Plan `json:"plans,omitempty"`
	// Prefix is the only plan as the common name of its certificates begins:
	// "UNLIMITED" (default) or "LIMITED".
	Prefix string `json:"prefix,omitempty"`
}

// Validate reports what is missing or wrong.
func (c Config) Validate() error {
	if c.Domain == "" || c.KeyFile == "" || c.CertFile == "" {
		return errors.New("domain, key_file and cert_file are required")
	}
	if c.PoolSize < 0 || c.PoolSize > maxPoolSize {
		return fmt.Errorf("pool_size: %d is not between 0 and %d", c.PoolSize, maxPoolSize)
	}
	if _, err := life("vpn_life", c.VPNLife, defaultVPNLife); err != nil {
		return err
	}
	if _, err := life("smtp_life", c.SMTPLife, defaultSMTPLife); err != nil {
		return err
	}
	for k, p := range c.Plans {
		if p != lease.Unlimited && p != lease.Limited || slices.Index(c.Plans, p) != k {
			return fmt.Errorf("plans: %q is neither unlimited nor limited, or is there twice", p)
		}
	}
	switch c.Prefix {
	case "", "UNLIMITED", "LIMITED":
		return nil
	}
	return fmt.Errorf("prefix: %q is neither UNLIMITED nor LIMITED", c.Prefix)
}

func life(name, text string, preset time.Duration) (time.Duration, error) {
	if text == "" {
		return preset, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	if d < time.Hour || d > 10*365*24*time.Hour {
		return 0, fmt.Errorf("%s: %s is not between an hour and ten years", name, text)
	}
	return d, nil
}
