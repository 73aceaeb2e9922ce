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
)

// askTimeout is for questions that need no majority.
const askTimeout = 2 * time.Second

// maxAnswer bounds the answer of another node, in bytes.
const maxAnswer = 64 << 20

// askOf asks another node something of a shard; what follows the shard in the
// path says what.
func (s *Set) askOf(ctx context.Context, method, node string, n uint16, what string, body []byte, out any) error {
	h := http.Header{}
	if g := s.group(n); g != nil {
		h.Set(historyHeader, strconv.FormatUint(g.fsm.history.Load(), 10))
	}
	return s.ask(ctx, method, node, "shards/"+strconv.Itoa(int(n))+what, h, body, out)
}

// ask sends a request to another node and decodes its answer into out.
func (s *Set) ask(ctx context.Context, method, node, path string, h http.Header, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+node+Prefix+"v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = h
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

func (s *Set) askPropose(ctx context.Context, node string, n uint16, data []byte) (a answer, err error) {
	return a, s.askOf(ctx, http.MethodPost, node, n, "/propose", data, &a)
}

func (s *Set) askReadIndex(ctx context.Context, node string, n uint16) (a answer, err error) {
	return a, s.askOf(ctx, http.MethodPost, node, n, "/fresh", nil, &a)
}

func (s *Set) askMembers(ctx context.Context, node string, n uint16) (m membership, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*askTimeout)
	defer cancel()
	return m, s.askOf(ctx, http.MethodPost, node, n, "/members", nil, &m)
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
	return st, s.askOf(ctx, http.MethodGet, node, n, "", nil, &st)
}

func (s *Set) askServer(ctx context.Context, node string) (o serverOf, err error) {
	if node == s.cfg.Self {
		return serverOf{Server: s.self, Entry: s.store.EntryVersion()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return o, s.ask(ctx, http.MethodGet, node, "server", http.Header{}, nil, &o)
}
