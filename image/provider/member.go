package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
)

// Member makes a certificate as users of the VPN have one, for an hour at least,
// with which an operator tries the gateways.
func (i *Instance) Member(v *Vault, env string, now time.Time) (tls.Certificate, error) {
	ca, signer, err := i.authority(v, "client_ca")
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	plan := lease.Unlimited
	if !i.Provider(env).Service.AllowUnlimitedBandwidth {
		plan = lease.Limited
	}
	tmpl, err := certs.VPNClient(plan, rand.Reader, time.Hour, now)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := certs.Create(tmpl, ca, key.Public(), signer, rand.Reader)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
