package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"leap.example/appliance/dev"
	"leap.example/tests/play"
	"leap.example/tests/stage"
	"leap.example/tests/vendor"
)

// A scene is the provider with the story that is lived on it.
type scene struct {
	*play.Story
	out io.Writer
	opt options

	provider *play.Process
	vendor   *vendor.Vendor
	kills    int // Of database nodes.
	at       dev.Endpoints
}

// steps are those that are to be lived.
func (s *scene) steps() []play.Step {
	build, start := play.Step{What: "leapd and leapc are built", Do: s.build}, play.Step{What: "a provider starts", Do: s.startProvider}
	if s.Resume() {
		return []play.Step{build, start, {What: "alice and bob open their accounts", Do: s.Reopen}}
	}
	list := append([]play.Step{build, {What: "the stage is empty", Do: s.clear}, start}, s.Begin()...)
	list = append(list, s.Surf()...)
	if s.opt.stay {
		return append(list, play.Step{What: "what was lived is noted for the next start", Do: s.Save})
	}
	list = append(list, play.Step{What: "a vendor of the client has signers and a repository", Do: s.findVendor})
	list = append(list, s.Update()...)
	return append(list, s.Leave()...)
}

// clear removes what a story left that was interrupted half way.
func (s *scene) clear() error {
	if err := s.Clear(); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(s.Dir, "dev"))
}

// startProvider starts "leapd dev" and waits until every service is healthy.
func (s *scene) startProvider() error {
	home := filepath.Join(s.Dir, "dev")
	base := s.opt.base
	if base == 0 {
		var err error
		if base, err = stage.FreeBase(); err != nil {
			return err
		}
	}
	var err error
	s.provider, err = play.Start(s.Dir, "leapd", nil, s.bin("leapd"), "dev", "--dir", home, "--base-port", fmt.Sprint(base), "--nodes", fmt.Sprint(s.opt.nodes), "--gateways", "2")
	if err != nil {
		return err
	}
	err = s.Until("the provider is up", time.Minute, func() error {
		select {
		case <-s.provider.Done:
			return fmt.Errorf("leapd ended: %v", s.provider.Err)
		default:
		}
		if s.at, err = dev.ReadEndpoints(home); err != nil {
			return err
		}
		resp, err := http.Get("http://" + s.at.Health + "/")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("health: %s", body)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.At, err = s.stage()
	return err
}

// stage is what the story needs to know of the provider.
func (s *scene) stage() (play.Stage, error) {
	web, err := webClient(s.at)
	if err != nil {
		return play.Stage{}, err
	}
	password, err := os.ReadFile(s.at.CouchPasswordFile)
	db := play.Database{URLs: []string{s.at.Couch}, Password: strings.TrimSpace(string(password)), HTTP: http.DefaultClient}
	for _, d := range s.at.Databases[min(1, len(s.at.Databases)):] {
		db.URLs = append(db.URLs, d.URL)
	}
	return play.Stage{
		Domain: s.at.Domain, Bootstrap: s.at.Bootstrap, Fingerprint: s.at.Fingerprint, Resolver: s.at.Resolver, Invite: s.at.Invite,
		Tunnel: s.tunnel(),
		Web:    s.at.Web, Nickserver: s.at.Nickserver, WKD: s.at.WKD, HTTP: web, MX: s.at.MX, Database: db, Files: s.files,
	}, err
}

// tunnel is what the story needs to know of the VPN.
func (s *scene) tunnel() play.Tunnel {
	t := play.Tunnel{Called: netip.MustParseAddr("192.0.2.1")} // As appliance/cmd/leapd has it.
	for _, g := range s.at.Gateways {
		t.Gateways = append(t.Gateways, play.Gateway{Host: g.Host, Egress: g.Egress, Kill: func() error { return keepDead(g.PIDFile) }})
	}
	return t
}

// files looks into the provider's files and logs as they lie on the disk.
func (s *scene) files(f *play.Finder) error {
	if err := f.Files(filepath.Join(s.Dir, "dev")); err != nil {
		return err
	}
	return f.File(s.provider.Log)
}

// webClient returns a client that believes the provider's CA and nobody else,
// and asks the provider's DNS server for every name.
func webClient(at dev.Endpoints) (*http.Client, error) {
	pem, err := os.ReadFile(at.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", at.CAFile)
	}
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at.Resolver)
	}}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Resolver: resolver}
	return &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots}},
	}, nil
}

func (s *scene) bin(name string) string { return filepath.Join(s.Dir, "bin", name) }

// build builds the two programs into the story's directory, with the settings
// of "make", so that the build cache serves both.
func (s *scene) build() error {
	if err := os.MkdirAll(filepath.Join(s.Dir, "bin"), 0o700); err != nil {
		return err
	}
	env := append(os.Environ(), "CGO_ENABLED=0")
	_, err := s.Tool("", env, "go", "build", "-o", filepath.Join(s.Dir, "bin")+"/",
		"leap.example/appliance/cmd/leapd", "leap.example/client/cmd/leapc")
	return err
}

// end stops everything, the clients first.
func (s *scene) end() {
	s.End()
	if s.vendor != nil {
		_ = s.vendor.Close()
	}
	if s.provider != nil {
		s.provider.Stop()
	}
}

// tails prints the ends of the logs: the place to look after a failure.
func (s *scene) tails() {
	s.Tails(s.out)
	if s.provider != nil {
		s.provider.Print(s.out)
	}
}

// welcome says how to take part.
func (s *scene) welcome() {
	fmt.Fprintf(s.out, "\nThe provider stays up until you interrupt it (Ctrl-C).\n\n  web      %s   (its CA: %s)\n  invite   %s\n\n", s.at.Loopback, s.at.CAFile, s.at.Invite)
	s.Welcome(s.out)
}
