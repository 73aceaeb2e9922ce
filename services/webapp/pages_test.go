package webapp_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"leap.example/services/protocol/record"
)

func TestPages(t *testing.T) {
	w := newWorld(t)
	w.provider.Description["en"] = `Mail <b>&</b> more`
	w.cfg.AboutFile = w.write("about", []byte("Hello\nthere.\n\n# Who <we> are\r\n\r\nPeople."))
	w.start()
	c := w.client()
	for _, tt := range []struct {
		path   string
		status int
		want   []string
	}{
		{"/", 200, []string{"<h1>Example</h1>", "leapc provider add example.org", "Mail &lt;b&gt;&amp;&lt;/b&gt; more", "Everybody may create", "/tickets/new"}},
		{"/about", 200, []string{"<p>Hello there.</p>", "<h2>Who &lt;we&gt; are</h2>", "<p>People.</p>"}},
		{"/privacy-policy", 200, []string{"<h1>Privacy</h1>", "<h2>Your account</h2>"}},
		{"/tickets/new", 200, []string{`<form class="form" method="post" action="/tickets/new">`}},
		{"/tickets/00000000", 404, []string{"There is nothing here"}},
		{"/tickets/x", 404, []string{"There is nothing here"}},
		{"/tickets", 404, []string{"There is nothing here"}},
		{"/nothing", 404, []string{"There is nothing here"}},
	} {
		resp, body := w.do(c, call{method: "GET", url: w.web + tt.path})
		if resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %d %s", tt.path, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		for _, want := range tt.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %q in\n%s", tt.path, want, body)
			}
		}
		policy := resp.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", tt.path, policy)
		}
		if inline := regexp.MustCompile(`<script|<style| style=| on[a-z]+=|javascript:`).FindString(body); inline != "" {
			t.Errorf("%s: %q in the page", tt.path, inline)
		}
	}
}

// The fingerprint on the page is that of the certificate that is served.
func TestFingerprintOnPage(t *testing.T) {
	w := newWorld(t).start()
	_, body := w.do(w.client(), call{method: "GET", url: w.web + "/"})
	var digits strings.Builder
	for _, m := range regexp.MustCompile(`<span>([0-9a-f]{4})</span>`).FindAllStringSubmatch(body, -1) {
		digits.WriteString(m[1])
	}
	if got := "SHA256: " + digits.String(); got != w.provider.CACertFingerprint {
		t.Errorf("page shows %s, provider.json has %s", got, w.provider.CACertFingerprint)
	}
}

func TestStatic(t *testing.T) {
	w := newWorld(t).start()
	c := w.client()
	_, page := w.do(c, call{method: "GET", url: w.web + "/"})
	for _, name := range []string{"style.css", "icon.svg"} {
		path := regexp.MustCompile(`/static/[\w-]+/` + name).FindString(page)
		resp, body := w.do(c, call{method: "GET", url: w.web + path})
		if resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") || body == "" {
			t.Errorf("%s: %d, %q", path, resp.StatusCode, resp.Header.Get("Cache-Control"))
		}
	}
}

func TestTickets(t *testing.T) {
	w := newWorld(t).start()
	c := w.client()
	own := map[string]string{"Origin": w.web, "Sec-Fetch-Site": "same-origin"}
	form := url.Values{"subject": {"  A   <b>question</b> "}, "email": {"a@example.com"}, "body": {"First line\r\nsecond <i>line</i>"}}
	resp, _ := w.do(c, call{method: "POST", url: w.web + "/tickets/new", body: form.Encode(), header: own})
	where := resp.Header.Get("Location")
	m := regexp.MustCompile(`^/tickets/([0-9a-z]{8})\?new$`).FindStringSubmatch(where)
	if resp.StatusCode != 303 || m == nil {
		t.Fatalf("%d to %q", resp.StatusCode, where)
	}
	id := m[1]
	_, page := w.do(c, call{method: "GET", url: w.web + where})
	for _, want := range []string{"Keep the code <code>" + id, "A &lt;b&gt;question&lt;/b&gt;", "First line\nsecond &lt;i&gt;line&lt;/i&gt;", ">open<"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(page, "a@example.com") {
		t.Error("the address of the author is on the page")
	}

	// The support answers, and notes something for itself.
	tickets := w.stores.Stores().Tickets
	ticket, err := tickets.ByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	ticket.Comments = append(ticket.Comments,
		record.Comment{PostedBy: "staff", PostedAt: time.Now(), Body: "An answer"},
		record.Comment{PostedBy: "staff", PostedAt: time.Now(), Body: "among us", Private: true})
	if err := tickets.Update(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
	w.wantCall(c, call{method: "POST", url: w.web + "/tickets/" + id, body: "body=Thanks&action=close", header: own}, 303, "")
	resp, _ = w.do(c, call{method: "GET", url: w.web + "/tickets?code=" + strings.ToUpper(id[:4]) + "-" + id[4:]})
	if got := resp.Header.Get("Location"); resp.StatusCode != 303 || got != "/tickets/"+id {
		t.Fatalf("%d to %q", resp.StatusCode, got)
	}
	_, page = w.do(c, call{method: "GET", url: w.web + "/tickets/" + id})
	for _, want := range []string{"An answer", "Support ·", "Thanks", ">closed<"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(page, "among us") {
		t.Error("a private comment is on the page")
	}
	w.wantCall(c, call{method: "POST", url: w.web + "/tickets/" + id, body: "body=Again&action=reply", header: own}, 303, "")
	if ticket, err = tickets.ByID(t.Context(), id); err != nil || !ticket.Open || len(ticket.Comments) != 5 {
		t.Errorf("after one more text: %+v, %v", ticket, err)
	}
}

func TestTicketsRefused(t *testing.T) {
	w := newWorld(t).start()
	c := w.client()
	full := &record.Ticket{ID: "aaaaaaaa", Type: "Ticket", Open: true, Comments: make([]record.Comment, 100)}
	if err := w.stores.Stores().Tickets.Create(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	post := func(path, body string) call { return call{method: "POST", url: w.web + path, body: body} }
	foreign := post("/tickets/new", "subject=a&body=b")
	foreign.header = map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
	for _, tt := range []struct {
		name   string
		call   call
		status int
		want   string
	}{
		{"from another site", foreign, 403, "Not from there"},
		{"empty", post("/tickets/new", "subject=&body="), 422, "The text is missing"},
		{"long", post("/tickets/new", "subject=a&body="+strings.Repeat("x", 8001)), 422, "too long"},
		{"no address", post("/tickets/new", "subject=keep+me&body=b&email=nowhere"), 422, `value="keep me"`},
		{"not UTF-8", post("/tickets/new", "subject=a&body=%ff"), 422, "The text is missing"},
		{"oversized", post("/tickets/new", strings.Repeat("x", 70000)), 400, "not understood"},
		{"reply to nothing", post("/tickets/bbbbbbbb", "body=a"), 404, "nothing here"},
		{"empty reply", post("/tickets/aaaaaaaa", "body="), 422, "The text is missing"},
		{"too many", post("/tickets/aaaaaaaa", "body=a"), 429, "Too many requests"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			resp, body := w.do(c, tt.call)
			if resp.StatusCode != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%d, want %d and %q in\n%s", resp.StatusCode, tt.status, tt.want, body)
			}
		})
	}
}

// Every answer of the web listener, also that of an unknown method, has the
// headers.
func TestWebMethods(t *testing.T) {
	w := newWorld(t).start()
	for _, method := range []string{"PUT", "DELETE", "PATCH", "HEAD"} {
		resp, _ := w.do(w.client(), call{method: method, url: w.web + "/about"})
		ok := resp.StatusCode == http.StatusNotFound || method == "HEAD" && resp.StatusCode == http.StatusOK
		if !ok || resp.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %d", method, resp.StatusCode)
		}
	}
}

// The front page shows the command that works for this provider.
func TestBootstrap(t *testing.T) {
	w := newWorld(t)
	w.cfg.Bootstrap = "leapc provider add example.org:4433 --ca-fingerprint 'SHA256: 00ff' --resolver 127.0.0.1:5353"
	w.start()
	_, body := w.do(w.client(), call{method: "GET", url: w.web + "/"})
	if want := html.EscapeString(w.cfg.Bootstrap); !strings.Contains(body, want) || strings.Contains(body, "leapc provider add example.org<") {
		t.Errorf("no %s alone in\n%s", want, body)
	}
}
