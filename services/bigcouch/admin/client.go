// Package admin is the client of what a database node offers to its server
// administrators beside CouchDB's API: backups, digests, checkpoints, an
// overview. It speaks to one node.
//
// The password is read from a file at each request, and is never in an error.
package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"leap.example/services/bigcouch"
)

// stalled is how long a connection may stand still. Digests take their time.
const stalled = 15 * time.Minute

// maxAnswer bounds a JSON answer.
const maxAnswer = 16 << 20

// A Client asks one node.
type Client struct {
	url      string
	user     string
	password string // Path.
	http     *http.Client
}

// New returns a client of the node at an URL. passwordFile holds the password of
// a server administrator, and perhaps a newline.
func New(node, user, passwordFile string) (*Client, error) {
	u, err := url.Parse(node)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("the URL of a node is http://HOST:PORT, without a password")
	}
	return &Client{strings.TrimSuffix(node, "/"), user, passwordFile, &http.Client{Transport: &http.Transport{
		DialContext: dial, TLSHandshakeTimeout: 10 * time.Second,
	}}}, nil
}

// URL returns which node it is.
func (c *Client) URL() string { return c.url }

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// dial connects, and lets no connection stand still for too long.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return moving{conn}, nil
}

// moving is a connection whose deadlines each read and write renews.
type moving struct{ net.Conn }

func (m moving) Read(p []byte) (int, error) {
	if err := m.SetReadDeadline(time.Now().Add(stalled)); err != nil {
		return 0, err
	}
	return m.Conn.Read(p)
}

func (m moving) Write(p []byte) (int, error) {
	if err := m.SetWriteDeadline(time.Now().Add(stalled)); err != nil {
		return 0, err
	}
	return m.Conn.Write(p)
}

// An Error is a refusal of the node.
type Error struct {
	Status int
	Reason string
}

func (e *Error) Error() string {
	if e.Status == http.StatusUnauthorized {
		return "the node does not take this account or password for an administrator's: " + e.Reason
	}
	return fmt.Sprintf("the node answers %d: %s", e.Status, e.Reason)
}

// send sends a request whose answer must be a success. The caller closes the
// body.
func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+"/_node/_local/"+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	password, err := os.ReadFile(c.password)
	if err != nil {
		return nil, fmt.Errorf("password of %s: %w", c.user, err)
	}
	req.SetBasicAuth(c.user, strings.TrimSuffix(string(password), "\n"))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	var e struct{ Reason string }
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if json.Unmarshal(answer, &e) != nil || e.Reason == "" {
		e.Reason = resp.Status
	}
	return nil, errors.Join(&Error{resp.StatusCode, e.Reason}, err, resp.Body.Close())
}

// ask sends a request and reads a JSON answer.
func (c *Client) ask(ctx context.Context, method, path string, body, to any) error {
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("the answer of the node is malformed: %w", err)
	}
	return nil
}

// Overview returns how the node does.
func (c *Client) Overview(ctx context.Context) (o bigcouch.Overview, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return o, c.ask(ctx, "GET", "_overview", nil, &o)
}

// Digests are those of all shards.
type Digests struct {
	Equal  *bool             `json:"equal,omitempty"` // Nil: a node by itself, there is nothing to compare.
	Shards map[uint16]Digest `json:"shards"`
}

// A Digest is that of a shard at an index of its log: of each copy in a cluster,
// or of the only one.
type Digest struct {
	Index   uint64            `json:"index"`
	Digest  string            `json:"digest,omitempty"`  // Of the only one.
	Digests map[string]string `json:"digests,omitempty"` // By node.
	Missing []string          `json:"missing,omitempty"` // Nodes that did not answer.
	Differ  []string          `json:"differ,omitempty"`  // Nodes that are not what the majority is.
}

// Compare has digests taken of all shards, and compared between their copies. It
// takes as long as reading everything.
func (c *Client) Compare(ctx context.Context) (d Digests, err error) {
	return d, c.ask(ctx, "POST", "_digest", struct{}{}, &d)
}

// Checkpoint makes a checkpoint and returns its name.
func (c *Client) Checkpoint(ctx context.Context) (string, error) {
	var made struct{ Name string }
	err := c.ask(ctx, "POST", "_checkpoint", struct{}{}, &made)
	return made.Name, err
}

// Checkpoints returns the names of those that there are.
func (c *Client) Checkpoints(ctx context.Context) ([]string, error) {
	var list struct{ Checkpoints []string }
	err := c.ask(ctx, "GET", "_checkpoint", nil, &list)
	return list.Checkpoints, err
}

// DropCheckpoint removes one.
func (c *Client) DropCheckpoint(ctx context.Context, name string) error {
	return c.ask(ctx, "DELETE", "_checkpoint/"+url.PathEscape(name), nil, &struct{}{})
}

// Backup begins a backup, encrypted to recipients of age. The caller closes it.
// Its end is reported as the end only if it is whole.
func (c *Client) Backup(ctx context.Context, recipients []string) (io.ReadCloser, error) {
	resp, err := c.send(ctx, "POST", "_backup", map[string][]string{"recipients": recipients})
	if err != nil {
		return nil, err
	}
	return &whole{resp, sha256.New()}, nil
}

// whole is the body of an answer that says at its end what it was.
type whole struct {
	resp *http.Response
	sum  hash.Hash
}

// ErrCut means that a backup ended too soon.
var ErrCut = errors.New("the node has stopped in the middle of the backup: its log says why")

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.resp.Body.Read(p)
	w.sum.Write(p[:n])
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF && w.resp.Trailer.Get(bigcouch.BackupSumTrailer) != hex.EncodeToString(w.sum.Sum(nil)) {
		err = ErrCut
	}
	return n, err
}

func (w *whole) Close() error { return w.resp.Body.Close() }
