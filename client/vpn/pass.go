package vpn

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"leap.example/client/durable"
	"leap.example/client/session"
	"leap.example/client/vpn/enroll"
	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/problem"
)

// A keeper is the client of gateways with one certificate, kept for its
// connection.
type keeper struct {
	*enroll.Client
	pem       string
	classical bool
}

// withCertificate calls f with a client that shows the certificate. When the
// gateway refuses that, or has too many leases of it, f is called once more
// with a new one.
func (v *VPN) withCertificate(ctx context.Context, f func(*enroll.Client) error) error {
	v.asking.Lock()
	defer v.asking.Unlock()
	fresh, err := v.certificate(ctx, false)
	if err != nil {
		return err
	}
	c, err := v.client()
	if err != nil {
		return err
	}
	err = f(c)
	e, ok := errors.AsType[*enroll.Error](err)
	if fresh || !ok || e.Fault != machine.Forbidden && !errors.Is(err, problem.Exist) {
		return err
	}
	if _, again := v.certificate(ctx, true); again != nil {
		return err // The first reason is the better one.
	}
	if c, err = v.client(); err != nil {
		return err
	}
	return f(c)
}

// client returns the client with the certificate on the disk. The caller
// holds asking.
func (v *VPN) client() (*enroll.Client, error) {
	pem, err := v.readCertificate()
	if err != nil {
		return nil, err
	}
	classical := v.prefs.Load().Classical
	if k := v.keeper; k != nil {
		if k.pem == string(pem) && k.classical == classical {
			return k.Client, nil
		}
		k.Close()
	}
	pair, err := policy.PairOf(pem).TLS()
	if err != nil {
		return nil, err
	}
	p, err := v.cfg.Provider()
	if err != nil {
		return nil, err
	}
	c, err := enroll.New(enroll.Config{Dial: v.dial, CA: p.CA(), Classical: classical}, pair)
	if err != nil {
		return nil, err
	}
	v.keeper = &keeper{c, string(pem), classical}
	return c, nil
}

// closeKeeper drops the connection to the gateway's lease API.
func (v *VPN) closeKeeper() {
	v.asking.Lock()
	defer v.asking.Unlock()
	if v.keeper != nil {
		v.keeper.Close()
		v.keeper = nil
	}
}

// certificate makes sure that there is one, and fetches it if there is none,
// if it ends within a day, or if the caller wants another. While none can be
// fetched an old one is good to its end.
func (v *VPN) certificate(ctx context.Context, another bool) (fetched bool, err error) {
	left := time.Duration(0)
	if pem, err := v.readCertificate(); err == nil {
		if pair, err := policy.PairOf(pem).TLS(); err == nil {
			left = time.Until(pair.Leaf.NotAfter)
		}
	}
	if left > renewCert && !another {
		return false, nil
	}
	err = v.fetchCertificate(ctx)
	if err != nil && left > spare && !another {
		return false, nil
	}
	return err == nil, err
}

// fetchCertificate asks the provider for one: anonymously, unless the user or
// the provider wants otherwise.
func (v *VPN) fetchCertificate(ctx context.Context) error {
	p, err := v.cfg.Provider()
	if err != nil {
		return err
	}
	door, err := v.door()
	if err != nil {
		return err
	}
	defer door.Close()
	var pem []byte
	if p.Document().Service.AllowAnonymous && !v.prefs.Load().Account {
		pem, err = door.VPNCert(ctx, "")
	} else {
		pem, err = v.asUser(ctx, door)
	}
	if err != nil {
		return err
	}
	return v.takeCertificate(pem)
}

// asUser fetches a certificate with the user's token.
func (v *VPN) asUser(ctx context.Context, door *session.Door) ([]byte, error) {
	token, err := v.cfg.Token(ctx, "")
	if err == nil {
		var pem []byte
		if pem, err = door.VPNCert(ctx, token); !errors.Is(err, problem.Unauthenticated) {
			return pem, err
		}
		token, err = v.cfg.Token(ctx, token)
	}
	if err != nil {
		return nil, problem.Unauthenticated.Errorf("the certificate for the VPN is fetched as your account: %w", err)
	}
	return door.VPNCert(ctx, token)
}

// takeCertificate keeps one that can be used. Otherwise it is Invalid.
func (v *VPN) takeCertificate(pem []byte) error {
	pair, err := policy.PairOf(pem).TLS()
	if err != nil {
		return err
	}
	if left := time.Until(pair.Leaf.NotAfter); left < spare {
		return problem.Invalid.Errorf("the certificate is over, or nearly: compare this computer's clock with the time, or get a new one")
	}
	return durable.Replace(filepath.Join(v.cfg.Dir, certFile), pem)
}

func (v *VPN) readCertificate() ([]byte, error) {
	pem, err := os.ReadFile(filepath.Join(v.cfg.Dir, certFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.NotExist.Errorf("there is no certificate for the VPN")
	}
	return pem, err
}
