package webapp

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

// pages are the parsed templates and what they have in common. Each page is
// one file of assets within layout.html; styles are a file of their own, so
// that the content security policy allows nothing inline.
type pages struct {
	templates map[string]*template.Template // By name: "home".
	static    map[string]*document          // By path.
	common    common
	about     []block
	privacy   []block
}

// common is what each page shows.
type common struct {
	Name, Description, Domain string
	Bootstrap, Support        string
	Style, Icon               string
}

// A block is one paragraph of a text.
type block struct {
	Heading bool
	Text    string
}

func (s *site) loadPages() (*pages, error) {
	p := &pages{
		templates: make(map[string]*template.Template),
		static:    make(map[string]*document),
		common: common{
			Name:        s.text(s.provider.Name),
			Description: s.text(s.provider.Description),
			Domain:      s.cfg.Domain,
			Bootstrap:   s.cfg.Bootstrap,
			Support:     s.cfg.SupportURI,
		},
	}
	if p.common.Name == "" {
		p.common.Name = s.cfg.Domain
	}
	if p.common.Support == "" {
		p.common.Support = "/tickets/new"
	}
	for _, name := range []string{"home", "text", "error", "new", "ticket"} {
		t, err := template.ParseFS(assets, "assets/layout.html", "assets/"+name+".html")
		if err != nil {
			return nil, err
		}
		p.templates[name] = t
	}
	var err error
	if p.common.Style, err = p.addStatic("style.css", "text/css; charset=utf-8"); err != nil {
		return nil, err
	}
	if p.common.Icon, err = p.addStatic("icon.svg", "image/svg+xml"); err != nil {
		return nil, err
	}
	if p.about, err = readText(s.cfg.AboutFile, builtinAbout); err != nil {
		return nil, err
	}
	p.privacy, err = readText(s.cfg.PrivacyFile, builtinPrivacy)
	return p, err
}

// addStatic makes an embedded file available under a path that changes with
// its content, so that browsers may keep it for ever.
func (p *pages) addStatic(name, contentType string) (path string, err error) {
	body, err := assets.ReadFile("assets/" + name)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	path = "/static/" + base64.RawURLEncoding.EncodeToString(sum[:9]) + "/" + name
	d := newDocument(body, time.Time{}, contentType)
	d.cache = "public, max-age=31536000, immutable"
	p.static[path] = d
	return path, nil
}

// readText reads a provider's own text, or takes the built-in one.
func readText(path, builtin string) ([]block, error) {
	if path == "" {
		return parseText(builtin), nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseText(string(data)), nil
}

// parseText splits a text at empty lines; "# " begins a heading.
func parseText(text string) []block {
	var blocks []block
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for part := range strings.SplitSeq(text, "\n\n") {
		part = strings.Join(strings.Fields(part), " ")
		if part == "" {
			continue
		}
		heading, ok := strings.CutPrefix(part, "# ")
		blocks = append(blocks, block{ok, heading})
	}
	return blocks
}

// render writes one page. data is the page's own struct, which embeds view.
func (s *site) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer // A page that fails half way is not sent.
	if err := s.pages.templates[name].Execute(&b, data); err != nil {
		s.log.Error("page failed", "page", name, "err", err)
		http.Error(w, "The server failed to process your request.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	b.WriteTo(w) // A broken connection has nowhere to report to.
}

// view is what the layout needs.
type view struct {
	Site common
	Here string // The entry of the menu.
}

func (s *site) view(here string) view { return view{s.pages.common, here} }

func (s *site) home(w http.ResponseWriter, _ *http.Request) {
	s.render(w, http.StatusOK, "home", struct {
		view
		Policy      string
		Open        bool
		Services    []offer
		Fingerprint []string
	}{
		s.view("home"),
		policyText[s.provider.EnrollmentPolicy],
		s.provider.EnrollmentPolicy != "closed",
		s.offers(),
		groups(s.fingerprint),
	})
}

var policyText = map[string]string{
	"open":   "Everybody may create an account.",
	"invite": "To create an account you need an invitation code.",
	"closed": "New accounts are made by the provider only.",
}

// An offer is a service on the front page.
type offer struct{ Title, Text string }

func (s *site) offers() []offer {
	var all []offer
	if slices.Contains(s.provider.Services, "mx") {
		all = append(all,
			offer{"Mail", fmt.Sprintf("An address at %s. Whatever comes in is encrypted to your key before it is stored, and only your devices open it.", s.cfg.Domain)},
			offer{"Keys", "Your client finds the keys of the people you write to, and lets them find yours. Encryption is the usual case, not a chore."})
	}
	if slices.Contains(s.provider.Services, "openvpn") {
		text := "Your traffic leaves through our gateways, whatever network you are in."
		if s.provider.Service.AllowAnonymous {
			text += " It needs no account."
		}
		all = append(all, offer{"VPN", text})
	}
	return append(all, offer{"Several devices", "What you keep here is synchronised between your devices and cannot be read by the servers in between."})
}

// groups cuts the hex digits of a fingerprint into groups of four.
func groups(fingerprint string) []string {
	_, digits, _ := strings.Cut(fingerprint, ": ")
	var all []string
	for g := range slices.Chunk([]byte(digits), 4) {
		all = append(all, string(g))
	}
	return all
}

func (s *site) textPage(here, title string, blocks []block) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.render(w, http.StatusOK, "text", struct {
			view
			Title  string
			Blocks []block
		}{s.view(here), title, blocks})
	}
}
