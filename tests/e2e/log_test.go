package e2e

import (
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"leap.example/client/control"
	"leap.example/services/protocol/nick"
	"leap.example/tests/e2e/process"
)

// peer is where those come from whose addresses must not be in the log.
const peer = "127.77.88.99"

// canaries are words that nobody else uses.
type canaries struct{ alice, bob, carol, subject, body, password, ticket string }

func canary(prefix string) string { return prefix + strings.ToLower(rand.Text()[:10]) }

// TestLogIsSilent lives a day of two users, with its mishaps, and then looks
// into the log of the provider: at the level info it names nobody, neither by
// login nor by address, says nothing of what was written, and not where
// anybody came from.
func TestLogIsSilent(t *testing.T) {
	p := leapd.New(t)
	c := canaries{canary("ali"), canary("bob"), canary("car"), canary("subject"), canary("body"), canary("pass"), canary("ticket")}
	alice, bob := newDevice(t, p), newDevice(t, p)
	ctx := t.Context()

	// Accounts, and those that are none.
	for _, tt := range []struct {
		d                       *device
		login, password, invite string
		signup, fails           bool
	}{
		{d: alice, login: c.alice, password: c.password, invite: "no-such-code-" + c.ticket, signup: true, fails: true},
		{d: alice, login: c.alice, password: c.password, invite: p.At.Invite, signup: true},
		{d: bob, login: c.alice, password: c.password, invite: p.At.Invite, signup: true, fails: true}, // The name is taken.
		{d: bob, login: c.alice, password: "not the password", fails: true},
		{d: bob, login: c.ticket, password: c.password, fails: true}, // Nobody has this name.
		{d: bob, login: c.bob, password: c.password, invite: p.At.Invite, signup: true},
	} {
		do := tt.d.Login
		if tt.signup {
			do = tt.d.SignUp
		}
		if err := do(ctx, control.Credentials{Login: tt.login, Password: tt.password, Invite: tt.invite}); (err != nil) != tt.fails {
			t.Fatalf("signing up %v, failing %v: %v", tt.signup, tt.fails, err)
		}
	}

	// Mail between them, from outside, to outside, and what is refused.
	a, b := c.alice+"@"+p.At.Domain, c.bob+"@"+p.At.Domain
	if err := alice.write(ctx, b, c); err != nil {
		t.Fatalf("alice writes to bob: %v", err)
	}
	// The provider's DNS knows no other domain: whether there is a key cannot be
	// told, so that the mail is not taken.
	if err := alice.write(ctx, c.bob+"@nowhere.example", c); err == nil {
		t.Fatal("a mail was taken although its key could not be looked for")
	}
	submits(t, p, c)
	strangers(t, p, c, b)
	bob.receives(t, 2)
	visits(t, p, c, a)

	// The end.
	if err := alice.ChangePassword(ctx, control.PasswordChange{Old: c.password, New: c.password + "2"}); err != nil {
		t.Fatalf("alice changes her password: %v", err)
	}
	if err := bob.DeleteAccount(ctx, control.Credentials{Password: c.password}); err != nil {
		t.Fatalf("bob leaves: %v", err)
	}
	if err := alice.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	searchLog(t, p, c)
}

// searchLog looks for what must not be in the log.
func searchLog(t *testing.T, p *process.Provider, c canaries) {
	t.Helper()
	log := p.Log(t)
	for _, want := range []string{"message taken", "message queued", "msg=attempt", "msg=refused"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no line %q: what is not logged names nobody", want)
		}
	}
	lower := strings.ToLower(log)
	for what, word := range map[string]string{
		"alice's login": c.alice, "bob's login": c.bob, "carol's login": c.carol, "a subject": c.subject, "a text": c.body, "a password": c.password,
		"what a visitor wrote": c.ticket, "the address of a peer": peer, "a peer's host name": "stranger.example",
		"a domain that was written to": "nowhere.example", "a hash of bob's name": nick.WKDHash(c.bob),
	} {
		if i := strings.Index(lower, strings.ToLower(word)); i >= 0 {
			t.Errorf("the log has %s: %q", what, line(log, i))
		}
	}
	// Everybody else came from a port of 127.0.0.1 that is not one of the provider's.
	_, first, err := net.SplitHostPort(p.At.Health)
	if err != nil {
		t.Fatal(err)
	}
	top, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindAllStringSubmatchIndex(log, -1) {
		if port, err := strconv.Atoi(log[m[2]:m[3]]); err != nil || port > top || port <= top-100 {
			t.Errorf("the log has where a peer came from: %q", line(log, m[0]))
		}
	}
	t.Logf("%d lines", strings.Count(log, "\n"))
}

// line returns the line of text around i.
func line(text string, i int) string {
	begin := strings.LastIndexByte(text[:i], '\n') + 1
	end, _, _ := strings.Cut(text[begin:], "\n")
	return end
}

// submits hands mail for another domain to the relay.
func submits(t *testing.T, p *process.Provider, c canaries) {
	t.Helper()
	db := openCouch(t, p.At.Couch, "admin", p.At.CouchPasswordFile, quiet)
	defer db.Close()
	user := newMailbox(t, db, c.carol+"@"+p.At.Domain, signerFile(p))
	config := process.TLS(t, p.At.CAFile)
	config.ServerName = "smtp." + p.At.Domain
	s := &sender{post: new(post), from: user.address, to: []string{c.bob + "@nowhere.example"}, login: &login{config, user.address, user.token}}
	if err := s.send(t.Context(), p.At.Submissions); err != nil {
		t.Errorf("a mail to another domain: %v", err)
	}
	until(t, "the relay has tried", time.Minute, func() error {
		if log := p.Log(t); !strings.Contains(log, "later=1") && !strings.Contains(log, "refused=1") {
			return errors.New("no attempt in the log")
		}
		return nil
	})
}

// strangers bring mail from peer: one for bob, and such as is refused.
func strangers(t *testing.T, p *process.Provider, c canaries, bob string) {
	t.Helper()
	from := c.bob + "@stranger.example"
	good := text(from, bob, c)
	for _, tt := range []struct {
		name, to, text string
		want           int
	}{
		{"to bob", bob, good, 0},
		{"to nobody", c.ticket + "@" + p.At.Domain, good, 550},
		{"to another domain", c.bob + "@nowhere.example", good, 550},
		{"without an author", bob, strings.Replace(good, "From:", "X-From:", 1), 550},
		{"in a circle", bob, strings.Repeat("Received: from "+c.bob+"\r\n", 60) + good, 554},
	} {
		conn := dialFrom(t, p.At.MX)
		s := smtp.NewClient(conn)
		err := errors.Join(s.Hello("host.stranger.example"), s.SendMail(from, []string{tt.to}, strings.NewReader(tt.text)))
		s.Close()
		if code(err) != tt.want {
			t.Errorf("a stranger's mail %s: %v, want %d", tt.name, err, tt.want)
		}
	}
	config := process.TLS(t, p.At.CAFile)
	config.ServerName = "smtp." + p.At.Domain
	s, err := smtp.NewClientStartTLS(dialFrom(t, p.At.Submission), config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Auth(sasl.NewPlainClient("", bob, c.password)); code(err) != 535 {
		t.Errorf("a login at the relay with a wrong token: %v, want 535", err)
	}
}

// dialFrom connects from peer.
func dialFrom(t *testing.T, addr string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(peer)}, Timeout: 10 * time.Second}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// visits are what people and programs do with the web servers, from peer.
func visits(t *testing.T, p *process.Provider, c canaries, alice string) {
	t.Helper()
	hc := p.HTTP(t, peer)
	for _, tt := range []struct {
		method, url, form string
		want              int
	}{
		{"GET", p.At.Nickserver + "/?address=" + url.QueryEscape(alice), "", 200},
		{"GET", p.At.Nickserver + "/?address=" + c.ticket + "%40" + p.At.Domain, "", 404},
		{"GET", p.At.Nickserver + "/pks/lookup?op=get&search=" + url.QueryEscape(alice), "", 200},
		{"GET", p.At.WKD + "/.well-known/openpgpkey/" + p.At.Domain + "/hu/" + nick.WKDHash(c.alice) + "?l=" + c.alice, "", 200},
		{"GET", p.At.Web + "/key/" + c.alice, "", 200},
		{"GET", p.At.Web + "/key/" + c.ticket, "", 404},
		{"POST", p.At.Web + "/tickets/new", "subject=" + c.subject + "&body=" + c.ticket + "&email=" + url.QueryEscape(alice), 200},
		{"POST", p.At.API + "/1/sessions", "login=" + c.alice + "&A=" + c.ticket, 422},
		{"PUT", p.At.API + "/1/sessions/" + c.alice, "client_auth=" + c.ticket, 422},
		{"GET", p.At.API + "/1/identities/" + url.PathEscape(alice), "", 401},
		{"GET", p.At.Soledad + "/user-" + c.ticket + "/notify", "", 401},
		{"GET", p.At.Couch + "/users/" + c.ticket, "", 401},
		{"GET", "http://" + p.At.Health + "/" + c.ticket, "", 200},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, tt.url, strings.NewReader(tt.form))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User-Agent", c.ticket)
		if tt.form != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := hc.Do(req)
		if err != nil {
			t.Errorf("%s %s: %v", tt.method, tt.url, err)
			continue
		}
		body, _ := io.ReadAll(resp.Body) // For the message below only.
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s %s: %s %.200s, want %d", tt.method, tt.url, resp.Status, body, tt.want)
		}
	}
	// What TLS and HTTP libraries like to log.
	for _, addr := range []string{p.At.Submissions, p.At.Health, p.At.MX, p.At.Resolver} {
		conn := dialFrom(t, addr)
		io.WriteString(conn, "\x16\x03\x01 garbage of "+c.ticket+"\r\n\r\n") // Whether it is taken or not.
		conn.Close()
	}
	for _, base := range []string{p.At.Web, p.At.API, p.At.Nickserver, p.At.WKD, p.At.Soledad, p.At.Couch} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		conn := dialFrom(t, "127.0.0.1:"+u.Port())
		io.WriteString(conn, "GET /"+c.ticket+" HTTP/1.1\r\nX\x00: garbage\r\n\r\n") // Whether it is taken or not.
		conn.Close()
	}
}
