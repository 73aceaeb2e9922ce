package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"leap.example/appliance/node"
)

// Mirror gives a node a bundle of so many bytes, and returns what the node has of
// both repositories then.
func (c *Client) Mirror(ctx context.Context, bundle io.Reader, size int64) (copies []node.Copy, err error) {
	body, err := c.send(ctx, http.MethodPut, node.PathMirror, nil, nil, bundle, size)
	if err != nil {
		return nil, err
	}
	defer body.Close() // Only read.
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&copies); err != nil {
		return nil, fmt.Errorf("the agent's answer: %w", err)
	}
	return copies, nil
}
