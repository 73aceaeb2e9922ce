package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrOff is that no process serves a directory.
var ErrOff = errors.New("no machines are running: leap local start")

const askFor = 10 * time.Second // For an answer that needs no machine.

// A Client asks the process that serves a cluster.
type Client struct {
	socket string
	http   *http.Client
}

// Find returns a client of the process that serves dir, and what is running. The
// error wraps [ErrOff] if there is none.
func Find(ctx context.Context, dir string) (*Client, Lab, error) {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Lab{}, ErrOff
	}
	var lab Lab
	if err == nil {
		err = json.Unmarshal(text, &lab)
	}
	if err != nil {
		return nil, lab, err
	}
	c := &Client{socket: lab.Socket}
	c.http = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.open(ctx) },
	}}
	lab, err = c.Lab(ctx)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, lab, ErrOff // It was killed, and has left its file.
	}
	return c, lab, err
}

func (c *Client) open(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", c.socket)
}

// ask sends a request, and returns the answer if it is good.
func (c *Client) ask(ctx context.Context, method, path string, v url.Values) ([]byte, error) {
	u := url.URL{Scheme: "http", Host: "lab", Path: path, RawQuery: v.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // Only read.
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(text)))
	}
	return text, err
}

// Lab is what is running.
func (c *Client) Lab(ctx context.Context) (lab Lab, err error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	text, err := c.ask(ctx, http.MethodGet, "/lab", nil)
	if err == nil {
		err = json.Unmarshal(text, &lab)
	}
	return lab, err
}

// Start switches nodes on, all if none is named, and waits until their agents
// listen.
func (c *Client) Start(ctx context.Context, names ...string) error {
	_, err := c.ask(ctx, http.MethodPost, "/start", url.Values{"node": names})
	return err
}

// Stop switches nodes off, all if none is named: those that do not stop in time
// lose their power.
func (c *Client) Stop(ctx context.Context, names ...string) error {
	_, err := c.ask(ctx, http.MethodPost, "/stop", url.Values{"node": names})
	return err
}

// Open opens doors on this machine's loopback to addresses of the LAN, as far as
// this user may: [Client.Lab] tells.
func (c *Client) Open(ctx context.Context, at []netip.AddrPort) error {
	v := url.Values{}
	for _, a := range at {
		v.Add("at", a.String())
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	_, err := c.ask(ctx, http.MethodPost, "/doors", v)
	return err
}

// End ends the process, and waits until its directory is free. Nodes that are on
// are switched off.
func (c *Client) End(ctx context.Context, dir string) error {
	if _, err := c.ask(ctx, http.MethodPost, "/end", nil); err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		release, err := Lock(dir)
		if err == nil {
			release()
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the machines do not end: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Dial connects to a TCP port of a member of the LAN.
func (c *Client) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil, net.UnknownNetworkError(network)
	}
	conn, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	joined, err := request(conn, address)
	if !stop() {
		err = errors.Join(err, context.Cause(ctx))
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return joined, nil
}

// request asks for an address. The answer has no body, so that all behind it
// comes from there.
func request(conn net.Conn, address string) (net.Conn, error) {
	if _, err := fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", address); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return nil, errors.Join(errors.New(strings.TrimSpace(string(text))), err)
	}
	return &tunnel{conn.(*net.UnixConn), r}, nil
}

// A tunnel is a connection of which some bytes were read already.
type tunnel struct {
	*net.UnixConn
	r *bufio.Reader
}

// Read implements [net.Conn].
func (t *tunnel) Read(b []byte) (int, error) { return t.r.Read(b) }
