package webapp

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"strings"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// web returns the handler of the web listener: pages, the public documents,
// and the ways to find a user's key: two old ones and the Web Key Directory.
func (s *site) web() http.Handler {
	mux := http.NewServeMux() // Never http.DefaultServeMux: gokrazy owns it.
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /about", s.textPage("about", "About this provider", s.pages.about))
	mux.HandleFunc("GET /privacy-policy", s.textPage("privacy", "Privacy", s.pages.privacy))
	mux.HandleFunc("GET /tickets", s.findTicket)
	mux.HandleFunc("GET /tickets/new", s.newTicket)
	mux.HandleFunc("POST /tickets/new", s.createTicket)
	mux.HandleFunc("GET /tickets/{code}", s.showTicket)
	mux.HandleFunc("POST /tickets/{code}", s.answerTicket)
	mux.HandleFunc("GET /provider.json", s.providerJSON)
	mux.HandleFunc("/provider.json", s.noProviderJSON)
	mux.HandleFunc("GET /ca.crt", s.handle(anyone, s.caCert))
	mux.HandleFunc("GET /{v}/config/{id}", s.handle(anyone, s.publicConfig))
	mux.HandleFunc("POST /{v}/config/{id}", s.handle(anyone, s.noOpenVPN))
	mux.HandleFunc("GET /key/{login}", s.handle(anyone, s.userKey))
	mux.HandleFunc("GET /.well-known/host-meta", s.handle(anyone, s.hostMeta))
	mux.HandleFunc("GET /.well-known/host-meta.json", s.handle(anyone, s.hostMeta))
	mux.HandleFunc("GET /webfinger", s.handle(anyone, s.webfinger))
	mux.HandleFunc("GET /.well-known/openpgpkey/{path...}", s.handle(anyone, s.directory))
	for path, d := range s.pages.static {
		mux.HandleFunc("GET "+path, d.serve)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { s.errorPage(w, problem.NotExist) })
	// Forms come from our own pages only.
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s.errorPage(w, problem.Permission) }))
	return frame(csrf.Handler(mux), webPolicy)
}

// errorPage tells a person what went wrong.
func (s *site) errorPage(w http.ResponseWriter, err error) {
	kind := problem.KindOf(err)
	title, text := "Something went wrong", "It is our fault. Please try again later."
	switch kind {
	case problem.NotExist:
		title, text = "There is nothing here", "The address may be mistyped, or what it named is gone."
	case problem.Permission:
		title, text = "Not from there", "This form was not sent from one of our own pages."
	case problem.Limit:
		title, text = "Too many requests", "Please wait a while, then try again."
	case problem.Invalid:
		title, text = "That was not understood", "The form was damaged on its way. Please try again."
	case problem.Unavailable:
		title, text = "Not available just now", "Please try again in a minute."
	}
	s.render(w, kind.Status(), "error", struct {
		view
		Status      int
		Title, Text string
	}{s.view(""), kind.Status(), title, text})
}

// publishedKey returns the armored OpenPGP key of a login.
func (s *site) publishedKey(r *request, login string) (string, error) {
	if err := r.limit(s.limits.lookup, r.network()); err != nil {
		return "", err
	}
	addr, err := nick.ParseAddress(login + "@" + s.cfg.Domain)
	if err != nil {
		return "", errNoKey
	}
	return published(s.st.Identities.ByAddress(r.Context(), addr))
}

// published returns the armored OpenPGP key of an identity that was looked up,
// if it is to be given out.
func published(id *record.Identity, err error) (string, error) {
	switch {
	case errors.Is(err, problem.NotExist):
		return "", errNoKey
	case err != nil:
		return "", err
	case !id.Enabled || id.UserID == "" || id.Keys[openPGP].Value == "":
		return "", errNoKey
	}
	return id.Keys[openPGP].Value, nil
}

// userKey serves GET /key/:login.
func (s *site) userKey(r *request) (any, error) {
	key, err := s.publishedKey(r, r.PathValue("login"))
	return plain(key), err
}

type (
	xrd struct {
		XMLName struct{}  `xml:"http://docs.oasis-open.org/ns/xri/xrd-1.0 XRD" json:"-"`
		Subject string    `xml:"Subject" json:"subject"`
		Links   []xrdLink `xml:"Link" json:"links"`
	}
	xrdLink struct {
		Rel      string `xml:"rel,attr" json:"rel"`
		Type     string `xml:"type,attr" json:"type"`
		Template string `xml:"template,attr" json:"template"`
	}
)

// hostMeta serves GET /.well-known/host-meta, RFC 6415, in XML or JSON.
func (s *site) hostMeta(r *request) (any, error) {
	meta := xrd{Subject: s.cfg.Domain, Links: []xrdLink{{
		Rel: "lrdd", Type: "application/json", Template: "https://" + s.cfg.Domain + "/webfinger?q={uri}",
	}}}
	if strings.HasSuffix(r.URL.Path, ".json") || strings.Contains(r.Header.Get("Accept"), "application/json") {
		body, err := json.Marshal(meta)
		return newDocument(body, s.providerDoc.modified, jsonType), err
	}
	body, err := xml.Marshal(meta)
	return newDocument(append([]byte(xml.Header), body...), s.providerDoc.modified, "application/xrd+xml"), err
}

// webfinger serves GET /webfinger?q=acct:alice@example.org.
func (s *site) webfinger(r *request) (any, error) {
	login, domain, _ := strings.Cut(strings.TrimPrefix(r.URL.Query().Get("q"), "acct:"), "@")
	if domain != s.cfg.Domain {
		return nil, problem.NotExist.Errorf("No such account.")
	}
	key, err := s.publishedKey(r, login)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"subject": "acct:" + login + "@" + domain,
		"links": map[string]any{
			"public_key": map[string]string{"type": "PGP", "href": base64.StdEncoding.EncodeToString([]byte(key))},
		},
	}, nil
}
