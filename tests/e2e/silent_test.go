package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"leap.example/services/nickserver"
	"leap.example/services/protocol/nick"
	"leap.example/services/soledad"
	"leap.example/services/webapp"
	"leap.example/tests/e2e/process"
)

// A journal is a log in memory.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// TestLogIsSilentWithoutDatabase asks every service for something of a user
// while the database is away, or answers what nobody understands. Errors of
// requests name what was requested: none of it may come into the log.
func TestLogIsSilentWithoutDatabase(t *testing.T) {
	for _, tt := range []struct {
		name     string
		database func(net.Conn) // What it does with a connection; nil: nobody listens.
	}{
		{"refuses connections", nil},
		{"hangs up", func(net.Conn) {}},
		{"hangs up after the request", func(c net.Conn) { c.Read(make([]byte, 4096)) }},
		{"answers nonsense", func(c net.Conn) { answer(c, "HTP/9 what?\r\n\r\n") }},
		{"fails", func(c net.Conn) {
			answer(c, "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"error\":\"unknown_error\"}\n")
		}},
		{"refuses the account", func(c net.Conn) {
			answer(c, "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"error\":\"unauthorized\"}\n")
		}},
		{"gives a document of another kind", func(c net.Conn) {
			answer(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"_id\":\"%[1]s\",\"_rev\":\"1-a\",\"docs\":7,\"enabled\":\"%[1]s\",\"address\":7}\n")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln := listen(t, "127.0.0.1:0")
			var wg sync.WaitGroup
			if tt.database == nil {
				ln.Close()
			} else {
				wg.Go(func() {
					for {
						c, err := ln.Accept()
						if err != nil {
							return
						}
						tt.database(c)
						c.Close()
					}
				})
			}
			defer wg.Wait()
			defer ln.Close()
			ask(t, ln.Addr().String())
		})
	}
}

// answer answers a request with a text, which may hold the path of the request.
func answer(c net.Conn, format string) {
	b := make([]byte, 4096)
	n, _ := c.Read(b) // An empty request has an empty path.
	_, path, _ := strings.Cut(string(b[:n]), " ")
	path, _, _ = strings.Cut(path, " ")
	if strings.Contains(format, "%") {
		format = fmt.Sprintf(format, path)
	}
	io.WriteString(c, format) // Whether it is taken or not.
}

// ask starts every service that people talk to over the database at an
// address, asks each for something, and looks into the log.
func ask(t *testing.T, database string) {
	t.Helper()
	n := newNode(t)
	n.couchAt = database
	var log journal
	n.log = slog.New(slog.NewTextHandler(&log, nil))
	n.startMX(n.open("leap_mx"))
	n.startRelay()
	sites := n.startSites()
	defer n.close()

	login, token := canary("somebody"), canary("token")
	address := login + "@" + n.files.Domain
	id := fmt.Sprintf("%x", login)[:32]
	mails := []*sender{
		{post: new(post), from: canary("sender") + "@outside.example", to: []string{address}},
		{post: new(post), from: address, to: []string{canary("other") + "@outside.example"}, login: n.login(&mailbox{address: address, token: token})},
	}
	var wg sync.WaitGroup
	for _, s := range mails {
		wg.Go(func() {
			if err := s.send(t.Context(), s.addr(n)); err == nil {
				t.Error("a mail was taken without a database")
			}
		})
	}
	for _, r := range [][3]string{
		{"GET", sites["nickserver"] + "/?address=" + url.QueryEscape(address)},
		{"GET", sites["nickserver"] + "/pks/lookup?op=get&search=" + url.QueryEscape(address)},
		{"GET", sites["nickserver"] + "/.well-known/openpgpkey/hu/" + nick.WKDHash(login) + "?l=" + login},
		{"GET", sites["web"] + "/key/" + login},
		{"GET", sites["web"] + "/tickets/" + token},
		{"POST", sites["web"] + "/tickets/new", "subject=" + token + "&body=" + login + "&email=" + url.QueryEscape(address)},
		{"POST", sites["api"] + "/1/users", "user[login]=" + login + "&user[password_salt]=00ff&user[password_verifier]=" + strings.Repeat("ab", 128)},
		{"POST", sites["api"] + "/1/sessions", "login=" + login + "&A=" + strings.Repeat("ab", 128)},
		{"PUT", sites["api"] + "/1/users/" + id, "user[login]=" + login},
		{"POST", sites["api"] + "/1/smtp_cert", "x=y"},
		{"GET", sites["soledad"] + "/user-" + id + "/notify"},
		{"GET", sites["soledad"] + "/user-" + id + "/sync-from/" + token},
	} {
		wg.Go(func() { n.visit(r[0], r[1], r[2], id, token) })
	}
	wg.Wait()
	if !strings.Contains(log.String(), "level=ERROR") && !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("nobody complains of the database:\n%s", log.String())
	}
	for line := range strings.Lines(strings.ToLower(log.String())) {
		for what, word := range map[string]string{
			"a login": login, "a token": token, "a mail's sender": "sender", "a domain": "outside.example", "the hash of a name": nick.WKDHash(login),
		} {
			if strings.Contains(line, word) {
				t.Errorf("the log has %s: %s", what, line)
			}
		}
	}
}

// visit makes a request as a user who is logged in.
func (n *node) visit(method, address, form, id, token string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, address, strings.NewReader(form))
	if err != nil {
		n.t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Host = "nicknym." + n.files.Domain
	req.Header.Set("Authorization", `Token token="`+token+`"`)
	if strings.Contains(address, "/user-") {
		req.Header.Set("Authorization", strings.TrimSpace(strings.TrimPrefix(secrets{user: &mailbox{id: id, token: token}}.token(), "Authorization:")))
	}
	c := process.TLS(n.t, n.files.Path("ca", "ca.crt"))
	c.ServerName = "nicknym." + n.files.Domain
	resp, err := (&http.Transport{TLSClientConfig: c, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		n.t.Errorf("%s: %v", method, err)
		return
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body) // Whatever it says.
	if resp.StatusCode/100 == 2 {
		n.t.Errorf("%s %s without a database: %s", method, address, resp.Status)
	}
}

// startSites starts what speaks HTTP to people, and returns where.
func (n *node) startSites() map[string]string {
	n.t.Helper()
	cert, key, domain := n.files.Path("certs", "server.crt"), n.files.Path("certs", "server.key"), n.files.Domain
	nickDB, webDB, syncDB := n.open("nickserver"), n.open("webapp"), n.open("soledad")
	ns, err := nickserver.New(nickserver.Config{Listen: "127.0.0.1:0", Domain: domain, CertFile: cert, KeyFile: key}, nickDB.Identities(), nil, n.log)
	if err != nil {
		n.t.Fatal(err)
	}
	web, err := webapp.New(webapp.Config{
		Domain: domain, Listen: "127.0.0.1:0", CertFile: cert, KeyFile: key, WebListen: "127.0.0.1:0", WebCertFile: cert, WebKeyFile: key,
		ProviderFile: n.files.Path("provider.json"), CAFile: n.files.Path("ca", "ca.crt"), ServiceDir: n.files.Path("service-definitions"),
		MXKeyFiles: []string{n.files.Path("mx", "signing.pub")}, SecretFile: n.files.Path("webapp", "secret"), LegacyClients: true,
	}, webapp.Stores{
		Users: webDB.Users(), Identities: webDB.Identities(), Tokens: webDB.Tokens(), Sessions: webDB.Sessions(), Invites: webDB.Invites(),
		Messages: webDB.Messages(), Tickets: webDB.Tickets(), Certificates: webDB.Certificates(),
	}, n.log)
	if err != nil {
		n.t.Fatal(err)
	}
	dbs := syncDB.UserDBs()
	sync, err := soledad.New(soledad.Config{Listen: "127.0.0.1:0", CertFile: cert, KeyFile: key}, soledad.Stores{
		Tokens: syncDB.Tokens(), Shared: syncDB.Shared(), Open: func(userID string) soledad.UserDB { return dbs.Open(userID) },
	}, n.log)
	if err != nil {
		n.t.Fatal(err)
	}
	at := map[string]string{}
	open := func(name string) net.Listener {
		ln := listen(n.t, "127.0.0.1:0")
		at[name] = "https://" + ln.Addr().String()
		return ln
	}
	nickLn, apiLn, webLn, syncLn := open("nickserver"), open("api"), open("web"), open("soledad")
	n.parts = append(n.parts,
		serve(n.t, "nickserver", func(ctx context.Context) error { return ns.Serve(ctx, nickLn) }),
		serve(n.t, "webapp", func(ctx context.Context) error { return web.Serve(ctx, apiLn, webLn) }),
		serve(n.t, "soledad", func(ctx context.Context) error { return sync.Serve(ctx, syncLn) }),
	)
	return at
}
