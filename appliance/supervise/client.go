package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"leap.example/appliance/node"
)

// A Client commands a [Supervisor] in another process.
type Client struct{ http http.Client }

// NewClient returns a client of the control server on a unix socket.
func NewClient(path string) *Client {
	return &Client{http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}}
}

// List is [Supervisor.List].
func (c *Client) List(ctx context.Context) (map[string]node.ServiceStatus, error) {
	var all map[string]node.ServiceStatus
	resp, err := c.do(ctx, http.MethodGet, pathList)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&all)
	return all, err
}

// Start is [Supervisor.Start].
func (c *Client) Start(ctx context.Context, service string) error {
	return c.order(ctx, pathStart, service)
}

// Restart is [Supervisor.Restart].
func (c *Client) Restart(ctx context.Context, service string) error {
	return c.order(ctx, pathRestart, service)
}

// Stop is [Supervisor.Stop].
func (c *Client) Stop(ctx context.Context, service string) error {
	return c.order(ctx, pathStop, service)
}

// Reboot stops all services and restarts the machine soon after it returns.
func (c *Client) Reboot(ctx context.Context) error {
	return c.order(ctx, pathReboot, "")
}

// Logs calls f with the last lines of a service, or of all if service is empty;
// with follow also with those to come, until ctx is done. An error of f ends it
// and is returned.
func (c *Client) Logs(ctx context.Context, service string, lines int, follow bool, f func(node.LogLine) error) error {
	q := url.Values{argService: {service}, "lines": {strconv.Itoa(lines)}}
	if follow {
		q.Set("follow", "1")
	}
	resp, err := c.do(ctx, http.MethodGet, pathLogs+"?"+q.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	for {
		var line node.LogLine
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading the log: %w", err)
		}
		if err := f(line); err != nil {
			return err
		}
	}
}

func (c *Client) order(ctx context.Context, path, service string) error {
	resp, err := c.do(ctx, http.MethodPost, path+"?"+url.Values{argService: {service}}.Encode())
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// do returns the answer, whose body is to be closed, to a request that went well.
func (c *Client) do(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://init"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the supervisor: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var why failure
	if err := json.NewDecoder(resp.Body).Decode(&why); err != nil {
		return nil, fmt.Errorf("the supervisor answers with status %d", resp.StatusCode)
	}
	return nil, errors.New(why.Error)
}
