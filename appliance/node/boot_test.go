package node_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"

	"leap.example/appliance/node"
)

func TestLaunch(t *testing.T) {
	s := node.Service{Memory: 5, Listeners: []node.Listener{{"tcp", 53, "public"}, {"udp", 53, "public"}, {"tcp", 853, "mesh"}}}
	if got, want := fmt.Sprint(s.Launch()), "{5 [53 853] false}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if l := (node.Service{Net: true}).Launch(); l.Ports != nil || !l.Net {
		t.Errorf("without listeners: %+v", l)
	}
}

func TestFingerprint(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	// openssl x509 -pubkey | openssl pkey -pubin -outform DER | openssl sha256 -binary | base64
	const want = "SHA256:M54v+RdjBQe2pCO1zghOKF0fpl2Ts+J6YZXTu+vJriM"
	got, err := node.Fingerprint(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	if got != want || err != nil {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	for _, bad := range []string{"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := node.Fingerprint(bad); err == nil {
			t.Errorf("%q has a fingerprint", bad)
		}
	}
}
