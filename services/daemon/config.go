package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// A Config is the configuration of one process: a JSON object whose members,
// the sections, are named after the packages that read them.
type Config struct {
	unread map[string]json.RawMessage
}

// ReadConfig reads a configuration from a file.
func ReadConfig(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	return ParseConfig(data)
}

// ParseConfig decodes a configuration.
func ParseConfig(data []byte) (*Config, error) {
	c := new(Config)
	if err := strict(data, &c.unread); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return c, nil
}

// Section decodes the named section into v and validates it. A section must be
// there, has no unknown members, and is read once.
func (c *Config) Section(name string, v interface{ Validate() error }) error {
	data, ok := c.unread[name]
	if !ok {
		return fmt.Errorf("configuration: no section %q", name)
	}
	delete(c.unread, name)
	if err := strict(data, v); err != nil {
		return fmt.Errorf("configuration: section %q: %w", name, err)
	}
	if err := v.Validate(); err != nil {
		return fmt.Errorf("configuration: section %q: %w", name, err)
	}
	return nil
}

// Finish returns an error that names the sections which nobody read.
func (c *Config) Finish() error {
	if len(c.unread) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(c.unread))
	return fmt.Errorf("configuration: unknown section %s", strings.Join(names, ", "))
}

func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("data after the document")
	}
	return nil
}
