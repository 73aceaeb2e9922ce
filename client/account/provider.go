package account

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"

	"leap.example/client/control"
	"leap.example/client/session"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

// errOther says that a device has one account.
func errOther(whose string) error {
	return problem.Exist.Errorf("this device has the account of %s: use another --home for another one", whose)
}

// AddProvider implements control.Backend. While the account is locked it may
// name its provider anew: with another resolver, or with the fingerprint of a
// new CA.
func (a *Account) AddProvider(ctx context.Context, q control.ProviderRequest) (control.Provider, error) {
	end, err := a.begin(ctx)
	if err != nil {
		return control.Provider{}, err
	}
	defer end()
	if err := a.mayAdd(q.Domain); err != nil {
		return control.Provider{}, err
	}
	if err := os.MkdirAll(a.cfg.Dir, 0o700); err != nil {
		return control.Provider{}, err
	}
	p, err := session.Bootstrap(ctx, q.Domain, session.Options{Resolver: q.Resolver, CAFingerprint: q.Fingerprint, Dir: a.cfg.Dir, Version: a.cfg.Version})
	if err != nil {
		return control.Provider{}, bootstrapAdvice(q, err)
	}
	a.mu.Lock()
	old := a.provider
	a.provider = p
	a.mu.Unlock()
	if old != nil {
		old.Close()
	}
	doc := p.Document()
	return control.Provider{
		Domain: doc.Domain, Name: doc.Name[doc.DefaultLanguage], Description: doc.Description[doc.DefaultLanguage],
		Services: doc.Services, Enrollment: doc.EnrollmentPolicy, Fingerprint: doc.CACertFingerprint,
	}, nil
}

// mayAdd returns why domain cannot become the provider of this device.
func (a *Account) mayAdd(domain string) error {
	v, err := session.OpenVault(a.path("vault.json"))
	if errors.Is(err, problem.NotExist) {
		return nil
	}
	if err != nil {
		return vaultAdvice(err)
	}
	if host, _, err := net.SplitHostPort(domain); err == nil {
		domain = host
	}
	switch owner := v.Owner(); {
	case !strings.EqualFold(domain, owner.Domain):
		return errOther(owner.Login + "@" + owner.Domain)
	case a.unlocked() != nil:
		return problem.Exist.Errorf(`the account is open: "leapc logout" first`)
	}
	return nil
}

// bootstrapAdvice adds to an error of the first contact what can be done.
func bootstrapAdvice(q control.ProviderRequest, err error) error {
	_, wrong := errors.AsType[*provider.FingerprintError](err)
	switch {
	case wrong:
		return problem.Permission.Errorf("%w: compare the fingerprint with what the provider publishes; if it is right, somebody is in between", err)
	case errors.Is(err, problem.Permission) && q.Fingerprint == "":
		return problem.Permission.Errorf("%w: if the provider has its own certificate authority, name its --ca-fingerprint", err)
	case errors.Is(err, problem.Unavailable):
		return problem.Unavailable.Errorf("%w: check the name and the network", err)
	}
	return err
}
