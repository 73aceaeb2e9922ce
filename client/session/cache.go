package session

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"leap.example/client/durable"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

// Daily is how old a document of the provider may be when nobody asks for a
// fresh one (leap-protocols.md 1.1).
const Daily = 24 * time.Hour

const (
	stateFile    = "provider.json"
	stateVersion = 1
)

// state is what is stored of a provider: Dir/provider.json.
type state struct {
	Version       int                 `json:"version"`
	Resolver      string              `json:"resolver,omitempty"`
	CAFingerprint string              `json:"ca_fingerprint,omitempty"` // As the user named it.
	CA            []byte              `json:"ca"`                       // PEM.
	Documents     map[string]document `json:"documents"`                // By path.
}

// A document is one answer of the provider, kept for the next question.
type document struct {
	Body     []byte    `json:"body"`
	ETag     string    `json:"etag,omitempty"`
	Modified string    `json:"last_modified,omitempty"`
	Fetched  time.Time `json:"fetched,omitzero"` // Last confirmed by the provider.
}

// LoadProvider returns the provider stored in opt.Dir, with the resolver and
// the fingerprint that it was bootstrapped with. NotExist when there is none,
// Invalid when the file is damaged: then bootstrap again.
func LoadProvider(opt Options) (*Provider, error) {
	data, err := os.ReadFile(filepath.Join(opt.Dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.NotExist.Errorf("no provider is set up")
	}
	if err != nil {
		return nil, err
	}
	var st state
	if json.Unmarshal(data, &st) != nil || st.Version != stateVersion {
		return nil, problem.Invalid.Errorf("the stored provider is damaged")
	}
	opt.Resolver, opt.CAFingerprint = st.Resolver, st.CAFingerprint
	return newProvider(opt, st)
}

// save stores the provider in opt.Dir, if there is one.
func (p *Provider) save() error {
	if p.opt.Dir == "" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	data, err := json.Marshal(p.state)
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(p.opt.Dir, stateFile), data)
}

// cached returns what the API has at path, at most maxAge old; 0 asks for it
// now. When the provider cannot be reached an older copy is good enough,
// unless maxAge is 0. What parse refuses is not kept.
func cached[T any](ctx context.Context, p *Provider, path, token string, maxAge time.Duration, parse func([]byte) (T, error)) (T, error) {
	var none T
	p.mu.Lock()
	d, known := p.state.Documents[path]
	p.mu.Unlock()
	if known && p.opt.now().Sub(d.Fetched) < maxAge {
		return parse(d.Body)
	}
	c := call{method: http.MethodGet, url: p.api(path), token: token, header: map[string]string{}}
	if d.ETag != "" {
		c.header["If-None-Match"] = d.ETag
	}
	if d.Modified != "" {
		c.header["If-Modified-Since"] = d.Modified
	}
	r, err := do(ctx, p.hc, c)
	if path == providerPath {
		if err := p.opt.checkVersion(r.header); err != nil {
			return none, err
		}
	}
	if known && maxAge > 0 && errors.Is(err, problem.Unavailable) {
		return parse(d.Body)
	}
	if err != nil {
		return none, err
	}
	if r.status != http.StatusNotModified {
		d = document{Body: r.body, ETag: r.header.Get("ETag"), Modified: r.header.Get("Last-Modified")}
	}
	v, err := parse(d.Body)
	if err != nil {
		return none, err
	}
	d.Fetched = p.opt.now()
	p.mu.Lock()
	p.state.Documents[path] = d
	p.mu.Unlock()
	return v, p.save()
}

// hosts returns the service file called name ("soledad", "smtp").
func (p *Provider) hosts(ctx context.Context, name, token string, maxAge time.Duration) (provider.HostsService, error) {
	configs, err := cached(ctx, p, "/1/configs.json", token, maxAge, provider.ParseConfigs)
	if err != nil {
		return provider.HostsService{}, err
	}
	path, ok := configs.Services[name]
	if !ok {
		return provider.HostsService{}, problem.NotExist.Errorf("the provider has no service %s", name)
	}
	return cached(ctx, p, path, token, maxAge, provider.ParseHosts)
}
