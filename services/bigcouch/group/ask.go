package group

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"leap.example/services/bigcouch/store"
)

// askTimeout is for questions that need no majority.
const askTimeout = 2 * time.Second

// maxAnswer bounds the answer of another node, in bytes.
const maxAnswer = 64 << 20

// ask sends a request to another node and decodes its answer into out.
func (s *Set) ask(ctx context.Context, method, node, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+node+Prefix+"v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return json.Unmarshal(data, out)
	case statusNotLeader:
		return hint{resp.Header.Get(leaderHeader)}
	case http.StatusConflict:
		return fmt.Errorf("%s: %w: %s", node, errRefused, strings.TrimSpace(string(data)))
	}
	return fmt.Errorf("%s: %s: %s", node, resp.Status, strings.TrimSpace(string(data)))
}

func shardPath(n uint16, what string) string {
	return "shards/" + strconv.Itoa(int(n)) + what
}

func (s *Set) askPropose(ctx context.Context, node string, n uint16, data []byte) (a answer, err error) {
	return a, s.ask(ctx, http.MethodPost, node, shardPath(n, "/propose"), data, &a)
}

func (s *Set) askReadIndex(ctx context.Context, node string, n uint16) (a answer, err error) {
	return a, s.ask(ctx, http.MethodPost, node, shardPath(n, "/fresh"), nil, &a)
}

// askStatus asks a node, which may be this one, for its part of a shard.
func (s *Set) askStatus(ctx context.Context, node string, n uint16) (st status, err error) {
	if node == s.cfg.Self {
		g := s.group(n)
		if g == nil {
			return st, errHere
		}
		return s.status(g)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return st, s.ask(ctx, http.MethodGet, node, shardPath(n, ""), nil, &st)
}

func (s *Set) askServer(ctx context.Context, node string) (o serverOf, err error) {
	if node == s.cfg.Self {
		return serverOf{Server: s.self, Entry: store.EntryVersion}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return o, s.ask(ctx, http.MethodGet, node, "server", nil, &o)
}
