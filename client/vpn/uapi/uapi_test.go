package uapi_test

import (
	"testing"
	"time"

	"leap.example/client/vpn/policy"
	"leap.example/client/vpn/uapi"
)

func TestStats(t *testing.T) {
	for text, want := range map[string]policy.Stats{
		"": {},
		"private_key=e8\nlisten_port=51820\npublic_key=b8\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=148\nrx_bytes=0\n": {TX: 148},
		"last_handshake_time_sec=1772600707\nlast_handshake_time_nsec=5\ntx_bytes=9\nrx_bytes=7\nprotocol_version=1\n":                        {LastHandshake: time.Unix(1772600707, 5), RX: 7, TX: 9},
	} {
		if got, err := uapi.Stats(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	if got, err := uapi.Stats("rx_bytes=many\n"); err == nil {
		t.Errorf("no number: %+v", got)
	}
}
