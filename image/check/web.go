package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/provider"
)

// web looks at the pages: their certificate, which the world trusts if the
// operator has such a one, and what clients fetch before they have an account.
func (c *checker) web(ctx context.Context) {
	roots, err := c.own()
	if err != nil {
		c.add("web", node.CheckFail, err.Error(), "leap cert ca")
		return
	}
	if len(c.Instance.Files["cert/"+c.domain()+".crt"]) > 0 {
		roots = nil
	}
	s, ok := c.site(ctx, "web", "webapp", c.domain(), compile.PortWeb, roots)
	if !ok {
		return
	}
	_, err = s.get(ctx, "/", http.StatusOK)
	c.judge("web.page", err, "the front page is there", c.logs("webapp"))
	_, err = c.bootstrap(ctx, s)
	c.judge("web.provider", err, "provider.json and ca.crt are those of the instance", "leap deploy "+c.Node.Name)
}

// bootstrap fetches provider.json and the authority that it names, as clients do.
func (c *checker) bootstrap(ctx context.Context, s *site) (provider.Provider, error) {
	text, err := s.get(ctx, "/provider.json", http.StatusOK)
	if err != nil {
		return provider.Provider{}, err
	}
	got, err := provider.Parse(text)
	if err != nil {
		return got, fmt.Errorf("provider.json: %w", err)
	}
	want, err := compile.Bootstrap(c.Instance, c.Node.Environment)
	if err != nil {
		return got, err
	}
	if got.CACertFingerprint != want.CACertFingerprint || got.APIURI != want.APIURI || got.EnrollmentPolicy != want.EnrollmentPolicy {
		return got, errors.New("provider.json is not that of the instance")
	}
	if text, err = s.get(ctx, "/ca.crt", http.StatusOK); err != nil {
		return got, err
	}
	cert, err := certs.ParseCert(text)
	if err != nil {
		return got, fmt.Errorf("ca.crt: %w", err)
	}
	return got, provider.CheckFingerprint(got.CACertFingerprint, cert.Raw)
}

// api looks at what clients ask once they know the provider's authority.
func (c *checker) api(ctx context.Context) {
	s, ok := c.ownSite(ctx, "api", "webapp", "api."+c.domain(), compile.PortAPI)
	if !ok {
		return
	}
	_, err := s.get(ctx, "/1/configs.json", http.StatusOK)
	if err == nil {
		_, err = s.get(ctx, "/1/messages.json", http.StatusUnauthorized)
	}
	c.judge("api.answers", err, "it answers, and tells nobody what is for users", c.logs("webapp"))
	if len(c.Instance.In(c.Node.Environment, "gateway")) > 0 {
		c.judge("api.gateways", c.gateways(ctx, s), "clients are told of the gateways, and all are healthy", "leap test gateway, then "+c.logs("webapp"))
	}
}

// nickserver asks for the key of somebody who is not there.
func (c *checker) nickserver(ctx context.Context) {
	s, ok := c.ownSite(ctx, "nickserver", "nickserver", "nicknym."+c.domain(), compile.PortNickserver)
	if !ok {
		return
	}
	_, err := s.get(ctx, "/?address="+nobody+"%40"+c.domain(), http.StatusNotFound)
	c.judge("nickserver.lookup", err, "it knows nobody who is not there", c.logs("nickserver"))
}

// soledad asks for a database without saying who asks.
func (c *checker) soledad(ctx context.Context) {
	s, ok := c.ownSite(ctx, "soledad", "soledad", c.Instance.FullName(c.Node), compile.PortSoledad)
	if !ok {
		return
	}
	_, err := s.get(ctx, "/user-"+someUser+"/sync-from/"+someUser, http.StatusUnauthorized)
	c.judge("soledad.foreign", err, "it gives nothing to those who do not log in", c.logs("soledad"))
}

// nobody and someUser are a name and an id that no user has.
const (
	nobody   = "nobody-is-called-this"
	someUser = "00000000000000000000000000000000"
)

// ownSite is a site whose certificate is of the provider's own authority.
func (c *checker) ownSite(ctx context.Context, check, service, name string, port uint16) (*site, bool) {
	roots, err := c.own()
	if err != nil {
		c.add(check, node.CheckFail, err.Error(), "leap cert ca")
		return nil, false
	}
	return c.site(ctx, check, service, name, port, roots)
}

// shown is the beginning of a body, for an error.
func shown(body []byte) string {
	return string(bytes.TrimSpace(body[:min(len(body), 200)]))
}
