package bigcouch

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// ofOthers asks the other nodes of the cluster for their rows of _scheduler/kind.
// One that does not answer has none: its jobs run elsewhere soon.
func ofOthers[T any](c *call, kind string) (rows []T) {
	if c.cfg.Cluster == nil || c.ctx().Value(fromPeer{}) != nil {
		return nil
	}
	answers := make(chan []T)
	for _, node := range c.cfg.Cluster.Nodes {
		go func() {
			var page struct{ Jobs, Docs []T }
			if node.Name == c.cfg.Cluster.Node || c.askNode(node.Name, "/_scheduler/"+kind, &page) != nil {
				answers <- nil
				return
			}
			answers <- append(page.Jobs, page.Docs...)
		}()
	}
	for range c.cfg.Cluster.Nodes {
		rows = append(rows, <-answers...)
	}
	return rows
}

// askNode sends a request of the user to another node and decodes its answer.
func (c *call) askNode(node, path string, to any) error {
	ctx, cancel := context.WithTimeout(c.ctx(), 5*time.Second)
	defer cancel()
	as, err := json.Marshal(passedUser{c.user.Name, c.user.Roles, c.user.admin, c.user.handler})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+node+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set(asHeader, string(as))
	resp, err := c.port.Transport().RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, c.cfg.MaxRequestSize))
	if err != nil || resp.StatusCode != http.StatusOK {
		return errUnavailable
	}
	return json.Unmarshal(data, to)
}
