package check

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/srp"
)

// testLogin begins the names of accounts that checks make: webapp counts such as
// those of a monitor.
const testLogin = "test_user_"

// account makes an account, logs in with it, has it fetch from its database and get
// mail, as far as nodes that do this are looked at too, and deletes it. The name is
// free again afterwards.
func (c *checker) account(ctx context.Context) {
	policy := c.Instance.Provider(c.Node.Environment).EnrollmentPolicy
	if c.Account == nil || policy == "closed" {
		return
	}
	roots, err := c.own()
	if err != nil {
		return // api has said so.
	}
	conn, err := c.dial(ctx, compile.PortAPI, dialFor)
	if err != nil {
		return // So has ports.
	}
	_ = conn.Close() // It was only to be opened.
	invite := ""
	if policy == "invite" {
		if invite, err = c.Account(ctx, c.Node); err != nil {
			c.judge("account", fmt.Errorf("no invitation: %w", err), "", c.logs("webapp"))
			return
		}
	}
	one := &account{site: c.newSite("api."+c.domain(), compile.PortAPI, roots), login: testLogin + token()[:12], password: token(), domain: c.domain()}
	err = one.signUp(ctx, invite)
	if errors.Is(err, errBusy) {
		c.add("account", node.CheckWarn, err.Error(), "wait a few minutes, or leap test --account=false")
		return
	}
	if err == nil {
		err = one.logIn(ctx)
	}
	if err == nil && len(c.others("soledad")) > 0 {
		used, end := context.WithTimeout(ctx, useFor)
		c.storage(used, one)
		if len(c.others("mx")) > 0 {
			if err = one.publish(used); err == nil {
				c.post(used, one)
			}
		}
		end()
	}
	if one.token != "" { // Whatever has gone wrong before.
		err = errors.Join(err, one.delete(ctx))
	}
	c.judge("account", err, "one was made, logged in and deleted", c.logs("webapp"))
}

// useFor is how long an account is used.
const useFor = 45 * time.Second

// token is a random word.
func token() string {
	var b [16]byte
	rand.Read(b[:]) // Never fails.
	return hex.EncodeToString(b[:])
}

// An account is one that is there for a moment.
type account struct {
	site            *site
	login, password string
	domain          string
	id              string
	token           string // Of the session.
}

// errBusy is that the provider takes no more of this from here for now.
var errBusy = errors.New("it was asked too often from this address")

// ask sends a form, and decodes the answer of a call that has to succeed.
func (a *account) ask(ctx context.Context, method, path string, form []byte, header http.Header, into any) error {
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, body, err := a.site.do(ctx, method, path, string(form), header)
	switch {
	case err != nil:
		return err
	case status == http.StatusTooManyRequests:
		return fmt.Errorf("%s %s: %w", method, path, errBusy)
	case status/100 != 2:
		return fmt.Errorf("%s %s answers with status %d: %s", method, path, status, shown(body))
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

func (a *account) signUp(ctx context.Context, invite string) error {
	salt, err := srp.NewSalt(rand.Reader)
	if err != nil {
		return err
	}
	kdf := srp.DefaultKDF()
	secret, err := srp.Derive(srp.SRP3072, a.login, a.password, salt, kdf)
	if err != nil {
		return err
	}
	var made bonafide.SignupResponse
	err = a.ask(ctx, http.MethodPost, "/1/users", bonafide.SignupRequest{
		Login: a.login, PasswordSalt: hex.EncodeToString(salt), PasswordVerifier: secret.Verifier(), Suite: srp.SRP3072, KDF: &kdf, InviteCode: invite,
	}.Encode(), nil, &made)
	if err == nil && (!made.OK || made.ID == "") {
		err = errors.New("the sign-up was answered without an id")
	}
	a.id = made.ID
	return err
}

// logIn opens a session.
func (a *account) logIn(ctx context.Context) error {
	client, err := srp.NewClient(srp.SRP3072, a.login, a.domain, rand.Reader)
	if err != nil {
		return err
	}
	cookies := &jar{}
	a.site.http.Jar = cookies
	var offer bonafide.HandshakeResponse
	err = a.ask(ctx, http.MethodPost, "/1/sessions", bonafide.HandshakeRequest{Login: a.login, A: client.A(), Suite: srp.SRP3072}.Encode(), nil, &offer)
	if err != nil {
		return err
	}
	if offer.KDF == nil {
		return errors.New("the login names no key derivation")
	}
	salt, err := hex.DecodeString(offer.Salt)
	if err != nil {
		return fmt.Errorf("the login's salt: %w", err)
	}
	secret, err := srp.Derive(srp.SRP3072, a.login, a.password, salt, *offer.KDF)
	if err != nil {
		return err
	}
	proof, err := client.Respond(secret, salt, offer.B)
	if err != nil {
		return err
	}
	var in bonafide.AuthResponse
	if err := a.ask(ctx, http.MethodPut, "/1/sessions/"+a.login, bonafide.AuthRequest{ClientAuth: proof}.Encode(), nil, &in); err != nil {
		return err
	}
	if err := client.Verify(in.M2); err != nil {
		return err
	}
	if !strings.EqualFold(in.ID, a.id) {
		return errors.New("the login has another id than the sign-up")
	}
	a.token = in.Token
	return nil
}

// header is how the account proves itself to webapp.
func (a *account) header() http.Header {
	return http.Header{"Authorization": {bonafide.TokenHeader(a.token)}}
}

// delete deletes the account.
func (a *account) delete(ctx context.Context) error {
	return a.ask(ctx, http.MethodDelete, "/1/users/"+a.id+"?identities=destroy", nil, a.header(), nil)
}

// A jar keeps the cookies of the one site.
type jar struct{ list []*http.Cookie }

// SetCookies implements [http.CookieJar].
func (j *jar) SetCookies(_ *url.URL, list []*http.Cookie) { j.list = list }

// Cookies implements [http.CookieJar].
func (j *jar) Cookies(*url.URL) []*http.Cookie { return j.list }
