package differ

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// missing is the revision of what there is no revision of.
const missing = "7-00000000000000000000000000000007"

// A side is one of the two servers while it is sent one history.
type side struct {
	name string
	url  string                      // Of the server.
	wait func(context.Context) error // Until a server that died is back.
	hc   *http.Client

	db     string              // URL of the database of this history.
	revs   map[string][]string // Of documents, in the order in which they were told.
	labels labels
	since  string // JSON.
}

func newSide(name, url string, wait func(context.Context) error) *side {
	return &side{name: name, url: url, wait: wait, hc: &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}}
}

// begin makes an empty database.
func (s *side) begin(ctx context.Context, name string) error {
	s.db, s.revs, s.labels, s.since = s.url+"/"+name, map[string][]string{}, labels{}, "0"
	status, _, body, err := s.send(ctx, Request{Method: http.MethodPut})
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("%s: creating a database: %d %s", s.name, status, body)
	}
	return err
}

// end drops the database.
func (s *side) end(ctx context.Context) error {
	_, _, _, err := s.send(ctx, Request{Method: http.MethodDelete})
	return err
}

// asRev is where a revision says what an edit is one of.
var asRev = regexp.MustCompile(`rev=<(?:cur|old) [^>]+>|"_rev":"<(?:cur|old) [^>]+>",`)

var placeholder = regexp.MustCompile(`<(cur|old|last) ([^>]+)>`)

// do sends a request. A server that dies of it answers with the status 0.
func (s *side) do(ctx context.Context, r Request) (Answer, error) {
	var failed error
	stripped := false
	expand := func(text string) string {
		text = asRev.ReplaceAllStringFunc(text, func(p string) string {
			rev, err := s.rev(ctx, "cur", placeholder.FindStringSubmatch(p)[2])
			failed = errors.Join(failed, err)
			if rev != missing {
				return p
			}
			stripped = true
			if p[0] == 'r' {
				return "norev=1"
			}
			return ""
		})
		text = placeholder.ReplaceAllStringFunc(text, func(p string) string {
			m := placeholder.FindStringSubmatch(p)
			rev, err := s.rev(ctx, m[1], m[2])
			failed = errors.Join(failed, err)
			return rev
		})
		return strings.ReplaceAll(text, "<since>", url.QueryEscape(s.since))
	}
	r.Path, r.Body, r.Header = expand(r.Path), expand(r.Body), expand(r.Header)
	if failed != nil {
		return Answer{}, failed
	}
	if stripped {
		r.Body = strings.ReplaceAll(r.Body, `"_deleted":true,`, "")
	}
	status, kind, body, err := s.send(ctx, r)
	if err != nil {
		if ctx.Err() != nil {
			return Answer{}, err
		}
		return Answer{Body: "no answer"}, s.wait(ctx)
	}
	if r.Kind == "push" {
		s.learnPushed(r)
	}
	a := Answer{Status: status, Body: string(body)}
	if v, err := decode(body); err == nil && strings.HasPrefix(kind, "application/json") {
		a.Body = v
		s.learn(r, v)
	} else if strings.HasPrefix(r.Kind, "attachment") {
		a.Type = kind
	}
	a.Body = walk(a.Body, func(name string, v any) any {
		if name == "reason" {
			return nil // Prose.
		}
		return v
	}, s.text)
	return a, nil
}

// text names the revisions in a string: as a whole, or the hash alone as in
// _revisions.
func (s *side) text(t string) string {
	if len(t) == 32 {
		for rev, label := range s.labels {
			if strings.HasSuffix(rev, "-"+t) {
				return label
			}
		}
	}
	return s.labels.of(t)
}

// rev returns a revision of a document.
func (s *side) rev(ctx context.Context, which, id string) (string, error) {
	known := s.revs[id]
	switch {
	case which == "old" && len(known) > 1:
		return known[len(known)-2], nil
	case which == "last" && len(known) > 0:
		return known[len(known)-1], nil
	}
	status, _, body, err := s.send(ctx, Request{Method: http.MethodGet, Path: "/" + id})
	if err != nil {
		return "", err
	}
	var doc struct {
		Rev string `json:"_rev"`
	}
	if status != http.StatusOK {
		return missing, nil
	}
	err = json.Unmarshal(body, &doc)
	return doc.Rev, err
}

// learn takes in what an answer tells: revisions of documents, the end of a
// feed.
func (s *side) learn(r Request, v any) {
	switch v := v.(type) {
	case []any: // One by one in an order that both servers have.
		for _, row := range slices.SortedFunc(slices.Values(v), byID) {
			s.learn(r, row)
		}
	case map[string]any:
		id, _ := v["id"].(string)
		rev, _ := v["rev"].(string)
		if id != "" && rev != "" {
			s.labels.of(rev)
			if all := s.revs[id]; len(all) == 0 || all[len(all)-1] != rev {
				s.revs[id] = append(all, rev)
			}
		}
		if seq, ok := v["last_seq"]; ok && r.Kind == "changes" {
			s.since = fmt.Sprint(seq)
		}
	}
}

// byID orders rows by their members id.
func byID(x, y any) int {
	a, _ := x.(map[string]any)
	b, _ := y.(map[string]any)
	return strings.Compare(fmt.Sprint(a["id"]), fmt.Sprint(b["id"]))
}

// learnPushed takes in the revisions of a request that sets them itself.
func (s *side) learnPushed(r Request) {
	var body struct {
		Docs []struct {
			ID  string `json:"_id"`
			Rev string `json:"_rev"`
		}
	}
	if json.Unmarshal([]byte(r.Body), &body) != nil {
		return // It is malformed on purpose.
	}
	for _, doc := range body.Docs {
		s.revs[doc.ID] = append(s.revs[doc.ID], doc.Rev)
	}
}

// send sends a request as it is.
func (s *side) send(ctx context.Context, r Request) (status int, kind string, body []byte, err error) {
	var in io.Reader
	if r.Body != "" {
		in = strings.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, s.db+r.Path, in)
	if err != nil {
		return 0, "", nil, err
	}
	req.Header.Set("Accept", "application/json")
	if r.Type != "" {
		req.Header.Set("Content-Type", r.Type)
	} else if r.Body != "" || r.Method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if name, value, ok := strings.Cut(r.Header, ": "); ok {
		req.Header.Set(name, value)
	}
	resp, err := s.hc.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("Content-Type"), body, err
}
