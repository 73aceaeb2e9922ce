// Package uapi reads what WireGuard in this process says of itself, in its
// configuration protocol (https://www.wireguard.com/xplatform/). It is pure.
package uapi

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"leap.example/client/vpn/policy"
)

// Stats returns the figures of a device with one peer, of which text is the
// answer to "get". Errors name no value of it: some are keys.
func Stats(text string) (policy.Stats, error) {
	var s policy.Stats
	var sec, nsec int64
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		var err error
		switch name {
		case "last_handshake_time_sec":
			sec, err = strconv.ParseInt(value, 10, 64)
		case "last_handshake_time_nsec": // Whoever waits for a handshake compares it with when the tunnel was made.
			nsec, err = strconv.ParseInt(value, 10, 64)
		case "rx_bytes":
			s.RX, err = strconv.ParseUint(value, 10, 64)
		case "tx_bytes":
			s.TX, err = strconv.ParseUint(value, 10, 64)
		}
		if err != nil {
			return policy.Stats{}, fmt.Errorf("WireGuard's %s is no number", name)
		}
	}
	if sec != 0 || nsec != 0 {
		s.LastHandshake = time.Unix(sec, nsec)
	}
	return s, nil
}
