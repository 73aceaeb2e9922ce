package deploy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
)

// Limits of a client.
const (
	dialFor   = 10 * time.Second
	statusFor = 20 * time.Second
	taskFor   = time.Minute
	maxAnswer = 4 << 20 // Of a status.
	maxLine   = 1 << 20 // Of an event or a line of a log.
	maxError  = 64 << 10
	maxEager  = 128 << 10 // Of what is sent without asking. A server that refuses reads 256 KiB before it closes.
)

// Access is how an operator gets at agents.
type Access struct {
	Roots       *x509.CertPool  // The provider's authority of nodes. Required.
	Certificate tls.Certificate // The operator's. Required.
	// Dial opens connections, as net.Dialer.DialContext does. Nil: that.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Client speaks to one agent. Several goroutines may use it.
type Client struct {
	address string
	http    *http.Client
}

// NewClient returns a client of the agent at address, host:port, whose
// certificate has the name.
func (a Access) NewClient(address, name string) *Client {
	dial := a.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialFor}).DialContext
	}
	return &Client{address, &http.Client{
		Transport: &http.Transport{
			DialContext: dial,
			// A connection of its own for each request: agents count them when a
			// document changes the network.
			DisableKeepAlives: true, TLSHandshakeTimeout: dialFor, ExpectContinueTimeout: statusFor,
			TLSClientConfig: &tls.Config{RootCAs: a.Roots, Certificates: []tls.Certificate{a.Certificate}, ServerName: name, MinVersion: tls.VersionTLS13},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// do sends a request and returns the body of a good answer.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body any) (io.ReadCloser, error) {
	if body == nil {
		return c.send(ctx, method, path, query, nil, nil, 0)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return c.send(ctx, method, path, query, nil, bytes.NewReader(text), int64(len(text)))
}

// send sends a request with a body of that many bytes; -1: nobody knows how many.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, header http.Header, sent io.Reader, size int64) (io.ReadCloser, error) {
	u := url.URL{Scheme: "https", Host: c.address, Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), sent)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	if req.ContentLength = size; size > maxEager || size < 0 {
		req.Header.Set("Expect", "100-continue") // So that it is not sent only to be refused.
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, problem.Unavailable.Errorf("no answer from the agent at %s: %w", c.address, unwrapURL(err))
	}
	if resp.StatusCode/100 == 2 {
		return resp.Body, nil
	}
	defer resp.Body.Close() // Only read.
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err != nil {
		return nil, err
	}
	return nil, problem.Parse(resp.StatusCode, text)
}

// unwrapURL leaves the address away, which is told anyway.
func unwrapURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// Status returns how the node is.
func (c *Client) Status(ctx context.Context) (node.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusFor)
	defer cancel()
	var s node.Status
	body, err := c.do(ctx, http.MethodGet, node.PathStatus, nil, nil)
	if err != nil {
		return s, err
	}
	defer body.Close() // Only read.
	// Newer agents may say more.
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&s); err != nil {
		return s, fmt.Errorf("the agent's status: %w", err)
	}
	return s, nil
}

// Checks has the node look at itself.
func (c *Client) Checks(ctx context.Context) (list []node.Check, err error) {
	ctx, cancel := context.WithTimeout(ctx, statusFor)
	defer cancel()
	body, err := c.do(ctx, http.MethodGet, node.PathChecks, nil, nil)
	if err != nil {
		return nil, err
	}
	defer body.Close() // Only read.
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&list); err != nil {
		return nil, fmt.Errorf("the agent's checks: %w", err)
	}
	return list, nil
}

// Clock returns what the node knows of the time. With set it asks its time
// servers first, and sets its clock.
func (c *Client) Clock(ctx context.Context, set bool) (now node.Clock, err error) {
	ctx, cancel := context.WithTimeout(ctx, statusFor)
	defer cancel()
	method := http.MethodGet
	if set {
		method = http.MethodPost
	}
	body, err := c.do(ctx, method, node.PathTime, nil, nil)
	if err != nil {
		return now, err
	}
	defer body.Close() // Only read.
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&now); err != nil {
		return now, fmt.Errorf("what the agent says of the time: %w", err)
	}
	return now, nil
}

// Task has a service of the node do something, and decodes its answer into answer.
func (c *Client) Task(ctx context.Context, service, task string, request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, taskFor)
	defer cancel()
	body, err := c.do(ctx, http.MethodPost, node.PathTask+service+"/"+task, nil, request)
	if err != nil {
		return err
	}
	defer body.Close() // Only read.
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("the answer of %s: %w", service, err)
	}
	return nil
}

// Restart stops a service of the node and starts it, also one that has ended for
// good. It may be a while until it is healthy.
func (c *Client) Restart(ctx context.Context, service string) error {
	ctx, cancel := context.WithTimeout(ctx, taskFor)
	defer cancel()
	body, err := c.do(ctx, http.MethodPost, node.PathRestart+service, nil, nil)
	if err != nil {
		return err
	}
	return body.Close()
}

// Reboot restarts the machine.
func (c *Client) Reboot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statusFor)
	defer cancel()
	body, err := c.do(ctx, http.MethodPost, node.PathReboot, nil, nil)
	if err != nil {
		return err
	}
	return body.Close()
}

// Logs gives the last lines of a service, or of all if it is empty, to f, and
// goes on with new ones if follow is set, until ctx ends or f fails.
func (c *Client) Logs(ctx context.Context, service string, count int, follow bool, f func(node.LogLine) error) error {
	q := url.Values{"lines": {strconv.Itoa(count)}}
	if service != "" {
		q.Set("service", service)
	}
	if follow {
		q.Set("follow", "1")
	}
	body, err := c.do(ctx, http.MethodGet, node.PathLogs, q, nil)
	if err != nil {
		return err
	}
	defer body.Close() // Only read.
	return lines(body, f)
}

// lines reads one JSON value from each line.
func lines[T any](r io.Reader, f func(T) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			return fmt.Errorf("the agent's answer: %w", err)
		}
		if err := f(v); err != nil {
			return err
		}
	}
	return s.Err()
}

// errBroken is that a stream of events ended without a verdict.
var errBroken = errors.New("the connection broke before there was a verdict")

// apply pushes a bundle and returns the verdict.
func (c *Client) apply(ctx context.Context, b node.Bundle, told func(node.Event)) (verdict node.Generation, err error) {
	body, err := c.do(ctx, http.MethodPost, node.PathApply, nil, b)
	if err != nil {
		return verdict, err
	}
	defer body.Close() // Only read.
	ended := false
	err = lines(body, func(e node.Event) error {
		told(e)
		if e.Error != "" {
			return fmt.Errorf("the node needs help: %s", e.Error)
		}
		if e.Verdict != nil {
			verdict, ended = *e.Verdict, true
		}
		return nil
	})
	switch {
	case ended:
		return verdict, nil
	case err == nil:
		return verdict, errBroken
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.ErrUnexpectedEOF) {
		return verdict, fmt.Errorf("%w: %w", errBroken, err)
	}
	return verdict, err
}
