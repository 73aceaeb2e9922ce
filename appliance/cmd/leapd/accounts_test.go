package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/dev"
	"leap.example/services/couch"
	"leap.example/services/daemon"
)

// TestAccountsAgree checks that dev gives the accounts the roles by which the
// databases are secured.
func TestAccountsAgree(t *testing.T) {
	got := map[string][]string{}
	for _, a := range dev.Accounts {
		got[a.Name] = a.Roles
	}
	want := couch.Accounts()
	for _, m := range []map[string][]string{got, want} {
		for name := range m {
			slices.Sort(m[name])
		}
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("dev has the accounts %v, services/couch knows %v", got, want)
	}
}

// rights says which accounts open a database, beside server administrators
// (leap-protocols.md 5.1). Rotated databases are named without their number.
var rights = map[string][]string{
	"users":               {"webapp"},
	"identities":          {"leap_mx", "nickserver", "relay", "webapp"},
	"tokens":              {"relay", "soledad", "webapp"},
	"sessions":            {"webapp"},
	"tickets":             {"webapp"},
	"messages":            {"webapp"},
	"invite_codes":        {"webapp"},
	"customers":           {"webapp"},
	"keycache":            {"nickserver"},
	"client_certificates": {"ca", "webapp"},
	"shared":              {"soledad"},
	"nodes":               {"agent"},
	"outbound":            {"relay"},
	"user":                {"leap_mx", "soledad"},
}

// TestLeastPrivilege checks that the database account of each service opens
// the databases that the service needs and no other, and administrates nothing.
func TestLeastPrivilege(t *testing.T) {
	n := newNode(t)
	names := n.databases(t)
	seen := map[string]bool{}
	for _, name := range names {
		kind, _, _ := strings.Cut(name, "-")
		if base, number, ok := strings.Cut(name, "_"); ok && strings.Trim(number, "0123456789") == "" {
			kind = base
		}
		want, ok := rights[kind]
		if !ok {
			t.Errorf("database %s: nobody has said who may open it", name)
		}
		seen[kind] = true
		for _, account := range append(slices.Clone(dev.Accounts), dev.Account{}) {
			open := account.Admin || slices.Contains(want, account.Name)
			n.wants(t, account.Name, "GET", "/"+name+"/_all_docs", "", open)
			n.wants(t, account.Name, "PUT", "/"+name+"/probe-"+account.Name+"x", "{}", open)
			n.wants(t, account.Name, "PUT", "/"+name+"/_design/probe-"+account.Name+"x", "{}", account.Admin)
			n.wants(t, account.Name, "PUT", "/"+name+"/_security", `{"members":{"names":["soledad","webapp"]}}`, account.Admin)
			if account.Admin { // Undo it for those that come after.
				n.secure(t)
			}
		}
	}
	for kind := range rights {
		if !seen[kind] {
			t.Errorf("there is no database %s", kind)
		}
	}
	for _, account := range append(slices.Clone(dev.Accounts), dev.Account{}) {
		n.wants(t, account.Name, "GET", "/_all_dbs", "", account.Admin)
		n.wants(t, account.Name, "PUT", "/made-by-"+account.Name+"x", "", account.Admin)
		n.wants(t, account.Name, "DELETE", "/shared", "", account.Admin)
		if account.Admin {
			n.secure(t)
		}
	}
}

// A oneNode is a node of the database of dev, set up, with the database of one user.
type oneNode struct {
	p  dev.Provider
	hc *http.Client
	db *couch.DB
}

func newNode(t *testing.T) oneNode {
	t.Helper()
	p := newProvider(t)
	check(t, p.Ensure())
	configs, err := devConfigs(p)
	check(t, err)
	g := new(daemon.Group)
	for _, name := range []string{"bigcouch", "couchsetup"} {
		data, err := json.Marshal(configs[name])
		check(t, err)
		c, err := daemon.ParseConfig(data)
		check(t, err)
		s, err := daemon.Build(c, services()[name], slog.New(slog.DiscardHandler))
		check(t, err)
		g.Add(name, s)
	}
	stop := background(t, g.Run)
	db, err := couch.Open(devCouch(p, "admin"), slog.New(slog.DiscardHandler))
	check(t, err)
	n := oneNode{p, &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}, db}
	t.Cleanup(func() {
		n.hc.CloseIdleConnections()
		check(t, db.Close())
		check(t, stop())
	})
	until(t, "the databases are set up", func() error { return db.Setup(t.Context()) })
	check(t, db.UserDBs().Create(t.Context(), strings.Repeat("0", 32)))
	return n
}

// secure brings every database back to its layout.
func (n oneNode) secure(t *testing.T) {
	t.Helper()
	check(t, n.db.Setup(t.Context()))
	check(t, n.db.UserDBs().Create(t.Context(), strings.Repeat("0", 32)))
}

func (n oneNode) databases(t *testing.T) []string {
	t.Helper()
	status, body := n.do(t, "admin", "GET", "/_all_dbs", "")
	var names []string
	if err := json.Unmarshal([]byte(body), &names); err != nil || status != 200 {
		t.Fatalf("listing the databases: %d %s", status, body)
	}
	return slices.DeleteFunc(names, func(s string) bool { return strings.HasPrefix(s, "_") })
}

// do makes a request with an account of the database; "" is nobody.
func (n oneNode) do(t *testing.T, account, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, "http://"+n.p.Addr(dev.PortCouch)+path, strings.NewReader(body))
	check(t, err)
	req.Header.Set("Content-Type", "application/json")
	if account != "" {
		password, err := os.ReadFile(n.p.Path("passwords", account))
		check(t, err)
		req.SetBasicAuth(account, string(password))
	}
	resp, err := n.hc.Do(req)
	check(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, string(data)
}

// wants checks whether an account may do something.
func (n oneNode) wants(t *testing.T, account, method, path, body string, allowed bool) {
	t.Helper()
	status, text := n.do(t, account, method, path, body)
	refused := status == http.StatusForbidden || status == http.StatusUnauthorized
	if done := status/100 == 2; done != allowed || refused == allowed {
		t.Errorf("%s: %s %s: %d %s, want allowed = %v", fmt.Sprintf("%-10q", account), method, path, status, strings.TrimSpace(text), allowed)
	}
}
