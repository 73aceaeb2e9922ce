package keymanager

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// A Lookup asks somebody for the key of an address. NotExist: there is none,
// as far as he knows; Unavailable: he cannot be asked now. A withdrawn key is a
// *nick.RevokedError. The key claims the address.
type Lookup interface {
	Lookup(ctx context.Context, a nick.Address) (nick.Key, nick.Level, error)
}

const lookupTimeout = 15 * time.Second // Of one request.

// A Nickserver is the key server of the account's provider
// (leap-protocols.md 4).
type Nickserver struct {
	HTTP   *http.Client // Trusts the provider's CA alone.
	Base   string       // https://nicknym.DOMAIN:6425
	Domain string       // Of the provider: it vouches for these addresses.
}

// Lookup asks for a. A key of the provider's own domain is Endorsed, of
// another one KeyServer.
func (n Nickserver) Lookup(ctx context.Context, a nick.Address) (nick.Key, nick.Level, error) {
	a = a.Base()
	body, err := get(ctx, n.HTTP, n.Base+"/?address="+url.QueryEscape(string(a)))
	if err != nil {
		return nick.Key{}, nick.NoTrust, err
	}
	reply, err := nick.ParseReply(body)
	if err != nil {
		return nick.Key{}, nick.NoTrust, err
	}
	if reply.Address == nil || reply.Address.Base() != a {
		return nick.Key{}, nick.NoTrust, problem.Invalid.Errorf("the nickserver answers for another address")
	}
	level := nick.KeyServer
	if a.Domain() == n.Domain {
		level = nick.Endorsed
	}
	key, err := nick.ParseKey(reply.OpenPGP)
	return claimed(key, level, err, a)
}

// WKD is the Web Key Directory of the address's own domain.
type WKD struct {
	HTTP *http.Client // Trusts the public CAs.
}

// Lookup asks by the advanced method, then by the direct one. A name that does
// not exist and any answer of a web server but a key mean that there is no
// directory: most domains have none. A host whose name resolves but which
// cannot be reached is Unavailable: somebody on the path may block it, to get
// a first message in clear.
func (w WKD) Lookup(ctx context.Context, a nick.Address) (nick.Key, nick.Level, error) {
	a = a.Base()
	advanced, direct := nick.WKDPaths(a)
	body, err := get(ctx, w.HTTP, "https://"+advanced)
	if err != nil && ctx.Err() == nil {
		first := err
		if body, err = get(ctx, w.HTTP, "https://"+direct); err != nil && blocked(first) {
			err = first
		}
	}
	if blocked(err) {
		return nick.Key{}, nick.NoTrust, err
	}
	if err != nil {
		return nick.Key{}, nick.NoTrust, problem.NotExist.Errorf("no key in a web key directory: %w", err)
	}
	key, err := nick.ParseKeyBinary(body)
	return claimed(key, nick.Endorsed, err, a)
}

// errNoAnswer marks the error of a request that got no answer.
var errNoAnswer = errors.New("no answer")

// blocked reports whether a host gave no answer although its name exists, or
// may exist.
func blocked(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return errors.Is(err, errNoAnswer) && (!ok || !dns.IsNotFound)
}

// claimed refuses a key that does not name a.
func claimed(key nick.Key, level nick.Level, err error, a nick.Address) (nick.Key, nick.Level, error) {
	if err == nil && !key.Has(a) {
		err = problem.Invalid.Errorf("the key is not for the address asked for")
	}
	if err != nil {
		return nick.Key{}, nick.NoTrust, err
	}
	return key, level, nil
}

// TwoPaths asks Own and, for addresses of other domains, also Public, which
// is independent of the provider. Equal answers are Consensus.
type TwoPaths struct {
	Own    Nickserver
	Public Lookup // WKD.
}

// Lookup asks both at once. When they differ, the address's own domain is
// believed; when one has nothing, the other. NotExist is the word of both.
func (t TwoPaths) Lookup(ctx context.Context, a nick.Address) (nick.Key, nick.Level, error) {
	if a.Domain() == t.Own.Domain {
		return t.Own.Lookup(ctx, a)
	}
	type answer struct {
		key   nick.Key
		level nick.Level
		err   error
	}
	public := make(chan answer, 1)
	go func() {
		key, level, err := t.Public.Lookup(ctx, a)
		public <- answer{key, level, err}
	}()
	key, level, err := t.Own.Lookup(ctx, a)
	p := <-public
	switch {
	case p.err == nil && err == nil && p.key.Fingerprint == key.Fingerprint:
		return p.key, nick.Consensus, nil
	case p.err == nil || revoked(p.err), notExist(err) && errors.Is(p.err, problem.Unavailable):
		return p.key, p.level, p.err
	}
	return key, level, err
}

// Quiet returns the part that tells nobody but the account's provider who is
// asked for.
func (t TwoPaths) Quiet() Lookup { return t.Own }

func revoked(err error) bool {
	_, ok := errors.AsType[*nick.RevokedError](err)
	return ok
}

// get fetches a small body. 404 is NotExist, and so is 502, by which a
// nickserver says that it could not ask others (leap-protocols.md 4); anything
// else that is not 200 is Unavailable.
func get(ctx context.Context, hc *http.Client, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, problem.Invalid.Errorf("malformed address of a key server")
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, problem.Unavailable.Errorf("asking for a key: %w: %w", errNoAnswer, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 2*nick.MaxKey+1))
	if err != nil {
		return nil, problem.Unavailable.Errorf("asking for a key: %w: %w", errNoAnswer, err)
	}
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusBadGateway:
		return nil, problem.NotExist.Errorf("no key is known")
	case resp.StatusCode != http.StatusOK:
		return nil, problem.Unavailable.Errorf("asking for a key: status %d", resp.StatusCode)
	case strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html"):
		return nil, problem.NotExist.Errorf("a web page in place of a key")
	}
	return body, nil
}
