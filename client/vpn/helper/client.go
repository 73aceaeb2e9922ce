package helper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/problem"
)

// A Client asks the helper of this machine. Its methods return what the helper's
// Path returns, or Unavailable when there is no helper, and Permission when it
// does not answer this user.
type Client struct{ socket string }

var _ policy.Path = (*Client)(nil)

// NewClient returns a client of the helper that listens on the unix socket at
// path, usually Socket. It does not connect yet.
func NewClient(path string) *Client { return &Client{path} }

// Apply has p made true.
func (c *Client) Apply(ctx context.Context, p policy.Policy) error {
	_, _, err := c.ask(ctx, request{Apply: &p})
	return err
}

// Stats says how the tunnel is.
func (c *Client) Stats(ctx context.Context) (policy.Stats, error) {
	r, _, err := c.ask(ctx, request{Stats: &struct{}{}})
	if err != nil || r.Stats == nil {
		return policy.Stats{}, err
	}
	return *r.Stats, nil
}

// Dial connects outside the tunnel.
func (c *Client) Dial(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	_, file, err := c.ask(ctx, request{Dial: &dial{network, addr}})
	if err != nil {
		return nil, err
	}
	if file == nil {
		return nil, problem.Internal.Errorf("the VPN helper sent no connection")
	}
	defer file.Close()
	return net.FileConn(file)
}

// BlockAtBoot says whether all is blocked from the next start of the machine on,
// until a policy is applied.
func (c *Client) BlockAtBoot(ctx context.Context, block bool) error {
	_, _, err := c.ask(ctx, request{Boot: &boot{block}})
	return err
}

// Version returns the version of the helper's commands: ours is Version.
func (c *Client) Version(ctx context.Context) (int, error) {
	r, _, err := c.ask(ctx, request{Version: &struct{}{}})
	return r.Version, err
}

// Program returns what the helper is; nothing: it is one that does not say.
func (c *Client) Program(ctx context.Context) (Program, error) {
	r, _, err := c.ask(ctx, request{Version: &struct{}{}})
	return r.Program, err
}

// Close does nothing: between two questions there is no connection.
func (c *Client) Close() error { return nil }

// ask sends a question and waits for the answer.
func (c *Client) ask(ctx context.Context, q request) (reply, *os.File, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unixpacket", c.socket)
	if err != nil {
		return reply{}, nil, problem.Unavailable.Errorf("the VPN helper does not run: install it with \"sudo leapc vpn-helper install\" (%w)", err)
	}
	defer conn.Close()
	u := conn.(*net.UnixConn)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	data, err := json.Marshal(q)
	if err != nil {
		return reply{}, nil, fmt.Errorf("asking the VPN helper: %w", err)
	}
	if err := u.SetWriteDeadline(time.Now().Add(askTimeout)); err != nil {
		return reply{}, nil, err
	}
	if _, err := u.Write(data); err != nil {
		return reply{}, nil, c.hungUp(ctx, err)
	}
	data, files, err := receive(u, workTimeout+askTimeout)
	if err != nil {
		return reply{}, nil, c.hungUp(ctx, err)
	}
	var file *os.File
	if len(files) > 0 {
		file = os.NewFile(uintptr(files[0]), "outside the tunnel")
		closeAll(files[1:])
	}
	var r reply
	if err := json.Unmarshal(data, &r); err != nil {
		err = problem.Internal.Errorf("the VPN helper's answer is unreadable: %w", err)
		return reply{}, nil, errors.Join(err, closeFile(file))
	}
	if r.Problem != nil {
		return r, nil, errors.Join(r.Problem.Type.Errorf("%s", r.Problem.Detail), closeFile(file))
	}
	return r, file, nil
}

// hungUp is why there is no answer.
func (c *Client) hungUp(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return problem.Unavailable.Errorf("the VPN helper hung up: it stopped, or this user may not use it (root names users with \"leapc vpn-helper install --user\"): %w", err)
}

func closeFile(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}
