package netstack

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"leap.example/services/gateway"
	"leap.example/services/protocol/lease"
)

// setText is the configuration that adds or replaces peers, in the words of
// wireguard.com/xplatform.
func setText(peers []gateway.Peer) string {
	var b strings.Builder
	for _, p := range peers {
		fmt.Fprintf(&b, "public_key=%s\npreshared_key=%s\nreplace_allowed_ips=true\n", p.PublicKey.Hex(), p.PSK.Hex())
		for _, a := range p.Addresses {
			fmt.Fprintf(&b, "allowed_ip=%s\n", a)
		}
	}
	return b.String()
}

// removeText is the configuration that removes peers.
func removeText(keys []lease.Key) string {
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "public_key=%s\nremove=true\n", k.Hex())
	}
	return b.String()
}

// parsePeers reads what the device says of its peers.
func parsePeers(text string) (list []gateway.PeerState, err error) {
	malformed := errors.New("the data plane's list of peers is malformed")
	var now *gateway.PeerState
	var sec, nsec int64
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if name == "public_key" {
			key, err := hex.DecodeString(value)
			if err != nil || len(key) != 32 {
				return nil, malformed
			}
			list = append(list, gateway.PeerState{PublicKey: lease.Key(key)})
			now = &list[len(list)-1]
			continue
		}
		into := map[string]*int64{"last_handshake_time_sec": &sec, "last_handshake_time_nsec": &nsec}[name]
		if now != nil && name == "rx_bytes" {
			into = &now.RX
		} else if now != nil && name == "tx_bytes" {
			into = &now.TX
		}
		if into == nil || now == nil {
			continue
		}
		if *into, err = strconv.ParseInt(value, 10, 64); err != nil {
			return nil, malformed
		}
		if name == "last_handshake_time_nsec" && (sec != 0 || nsec != 0) {
			now.LastHandshake = time.Unix(sec, nsec)
		}
	}
	return list, nil
}
