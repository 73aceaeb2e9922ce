package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"leap.example/client/caller"
	"leap.example/services/protocol/problem"
)

// ErrNotRunning means that no daemon answers on the socket.
var ErrNotRunning = errors.New(`the daemon is not running: start it with "leapc daemon"`)

// ErrForeign means that another user listens on the socket: nothing was said, and
// nothing is believed.
var ErrForeign = errors.New("the daemon of this home belongs to another user: repeat it as that user, or with a --home of your own")

// timeout bounds one call: a first login downloads an account.
const timeout = 10 * time.Minute

// A Client speaks to a daemon. It is a Backend at the far end of a socket.
type Client struct{ hc *http.Client }

// Dial returns a client of the daemon whose socket is at path. It connects on
// use; every method returns ErrNotRunning when nobody answers, and ErrForeign when
// somebody else than the user of this process does, root or not.
func Dial(path string) *Client {
	return &Client{&http.Client{Timeout: timeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, path)
		},
	}}}
}

// dial connects to a socket of our own user.
func dial(ctx context.Context, path string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(ErrForeign, c.Close())
	}
	if uid, err := caller.Of(u); err != nil || uid != uint32(os.Geteuid()) {
		return nil, errors.Join(ErrForeign, err, c.Close())
	}
	return c, nil
}

// Close frees the connection.
func (c *Client) Close() { c.hc.CloseIdleConnections() }

// call makes one request and decodes the answer.
func call[A any](ctx context.Context, c *Client, method, path string, q any) (A, error) {
	var a A
	var body io.Reader
	if q != nil {
		data, err := json.Marshal(q)
		if err != nil {
			return a, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://leapc"+path, body)
	if err != nil {
		return a, err
	}
	resp, err := c.hc.Do(req)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return a, ErrNotRunning
		}
		if errors.Is(err, ErrForeign) {
			return a, ErrForeign
		}
		return a, fmt.Errorf("asking the daemon: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return a, fmt.Errorf("asking the daemon: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return a, parse(resp.StatusCode, data)
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("asking the daemon: %w", err)
	}
	return a, nil
}

// parse keeps the detail of internal errors, which problem.Parse drops for
// readers on other machines.
func parse(status int, body []byte) error {
	var doc problem.Document
	if json.Unmarshal(body, &doc) == nil && doc.Type == problem.Internal && doc.Detail != "" {
		return doc.Type.Errorf("%s", doc.Detail)
	}
	return problem.Parse(status, body)
}

// Status asks how the account is. Unlike a Backend it can fail.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, "GET", "/v1/status", nil)
}

// AddProvider is Backend.AddProvider.
func (c *Client) AddProvider(ctx context.Context, q ProviderRequest) (Provider, error) {
	return call[Provider](ctx, c, "POST", "/v1/provider", q)
}

// SignUp is Backend.SignUp.
func (c *Client) SignUp(ctx context.Context, q Credentials) error {
	_, err := call[none](ctx, c, "POST", "/v1/signup", q)
	return err
}

// Login is Backend.Login.
func (c *Client) Login(ctx context.Context, q Credentials) error {
	_, err := call[none](ctx, c, "POST", "/v1/login", q)
	return err
}

// Lock is Backend.Lock.
func (c *Client) Lock(ctx context.Context) error {
	_, err := call[none](ctx, c, "POST", "/v1/lock", none{})
	return err
}

// ChangePassword is Backend.ChangePassword.
func (c *Client) ChangePassword(ctx context.Context, q PasswordChange) error {
	_, err := call[none](ctx, c, "POST", "/v1/password", q)
	return err
}

// DeleteAccount is Backend.DeleteAccount.
func (c *Client) DeleteAccount(ctx context.Context, q Credentials) error {
	_, err := call[none](ctx, c, "POST", "/v1/delete", q)
	return err
}

// Mail is Backend.Mail.
func (c *Client) Mail(ctx context.Context) (MailSettings, error) {
	return call[MailSettings](ctx, c, "GET", "/v1/mail", nil)
}

// Keys is Backend.Keys.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	return call[[]Key](ctx, c, "GET", "/v1/keys", nil)
}

// FindKey is Backend.FindKey.
func (c *Client) FindKey(ctx context.Context, address string) (Key, error) {
	return call[Key](ctx, c, "GET", "/v1/keys?address="+url.QueryEscape(address), nil)
}

// Sync is Backend.Sync.
func (c *Client) Sync(ctx context.Context) (SyncResult, error) {
	return call[SyncResult](ctx, c, "POST", "/v1/sync", none{})
}
