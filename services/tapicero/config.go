package tapicero

import (
	"fmt"
	"time"
)

const (
	defaultGrace      = 24 * time.Hour
	defaultCheckEvery = 24 * time.Hour
)

// Config is the section "tapicero" of the configuration.
type Config struct {
	// Grace is how long a database that has no user, although no deletion was
	// seen, is kept: a duration with a unit. Default "24h".
	Grace string `json:"grace,omitempty"`
	// CheckEvery is the time between two comparisons of all databases with all
	// users. The first is made at the start. Default "24h".
	CheckEvery string `json:"check_every,omitempty"`
}

// Validate reports what is wrong.
func (c Config) Validate() error {
	if _, err := duration("grace", c.Grace, defaultGrace); err != nil {
		return err
	}
	_, err := duration("check_every", c.CheckEvery, defaultCheckEvery)
	return err
}

func duration(name, text string, preset time.Duration) (time.Duration, error) {
	if text == "" {
		return preset, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	if d <= 0 {
		return 0, fmt.Errorf("%s: %s is not positive", name, text)
	}
	return d, nil
}
