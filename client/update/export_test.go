package update

import (
	"encoding/json"
	"time"
)

// A Disk and a File are what tests put in the place of the machine's.
type (
	Disk = disk
	File = file
)

// OS is the machine's disk.
var OS Disk = osDisk{}

// On returns the configuration with another disk.
func (c Config) On(d Disk) Config {
	c.disk = d
	return c
}

// DecodeState reads a state, and writes it again.
func DecodeState(data []byte) ([]byte, error) {
	s, err := parseState(data)
	if err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// About is how long a watcher waits that is to wait about so long.
func About(d time.Duration) time.Duration { return about(d) }
