package soledad

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// Budgets of requests. A request that makes no progress for idle is given up;
// a stream may take as long as it moves.
const (
	idle       = 60 * time.Second
	maxAnswer  = 1 << 20 // Of an answer that is not a stream, bytes.
	maxNotify  = 5 * time.Minute
	maxMessage = 80 << 20 // Of one incoming message, bytes.
)

// A Remote is one user's soledad at the provider. Its errors carry the
// problem.Kind, and where there is one the u1db.WordError, of the server's
// answer; what is the network's fault is problem.Unavailable.
//
// A provider may have several servers with the same contents. The Remote stays
// with one until it cannot be reached, or says that it cannot work: one that is
// cut off from the databases still answers its users. The request fails all the
// same, and who repeats it reaches the next one.
type Remote struct {
	hc    *http.Client
	bases []string
	turns atomic.Uint32 // Of the bases; the present one is this modulo their number.
	user  string
	token func(context.Context) (string, error)
}

// NewRemote returns the remote of the user with the id userID at bases, at least
// one, as "https://soledad.example.org:2323", the first to be asked first. token is
// called for each request.
func NewRemote(hc *http.Client, bases []string, userID string, token func(context.Context) (string, error)) *Remote {
	return &Remote{hc: hc, bases: bases, user: userID, token: token}
}

// database returns the name of the user's database.
func (r *Remote) database() string { return "user-" + r.user }

// A request is one HTTP request.
type request struct {
	method string
	path   string // Below the base, escaped.
	query  url.Values
	kind   string // Content type of body.
	body   []byte
	wait   time.Duration // Added to the budget.
}

// An answer is a response whose status says success. Its body fails when the
// server falls silent; it must be closed.
type answer struct {
	status int
	header http.Header
	body   io.Reader
	close  func()
}

// do sends a request. An answer with a status from 300 on is an error.
func (r *Remote) do(ctx context.Context, q request) (*answer, error) {
	token, err := r.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("getting a token: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	silence := problem.Unavailable.Errorf("the server does not answer")
	timer := time.AfterFunc(idle+q.wait, func() { cancel(silence) })
	stop := func() { timer.Stop(); cancel(nil) }
	turn := r.turns.Load()
	failed := func(err error) error {
		if cause := context.Cause(ctx); errors.Is(cause, problem.Unavailable) {
			err = cause
		} else if ctx.Err() == nil {
			err = problem.Unavailable.Errorf("no connection to the server: %w", err)
		}
		if errors.Is(err, problem.Unavailable) {
			r.leave(turn)
		}
		return fmt.Errorf("%s %s: %w", q.method, q.path, err)
	}
	target := strings.TrimSuffix(r.bases[turn%uint32(len(r.bases))], "/") + q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, q.method, target, bytes.NewReader(q.body))
	if err != nil {
		stop()
		return nil, fmt.Errorf("building a request: %w", err)
	}
	if len(q.body) > 0 {
		req.Body = &sending{req.Body, timer}
	}
	if q.kind != "" {
		req.Header.Set("Content-Type", q.kind)
	}
	req.Header.Set("Authorization", "Token "+base64.StdEncoding.EncodeToString([]byte(r.user+":"+token)))
	resp, err := r.hc.Do(req)
	if err != nil {
		defer stop()
		return nil, failed(err)
	}
	timer.Stop()
	a := &answer{resp.StatusCode, resp.Header, &receiving{resp.Body, timer}, func() { _ = resp.Body.Close(); stop() }}
	if resp.StatusCode < 300 {
		return a, nil
	}
	defer a.close()
	text, err := io.ReadAll(io.LimitReader(a.body, maxAnswer))
	if err != nil {
		return nil, failed(err)
	}
	if slices.Contains(unable, resp.StatusCode) {
		r.leave(turn)
	}
	refusal := u1db.ErrorOf(resp.StatusCode, text)
	if resp.StatusCode == http.StatusRequestEntityTooLarge { // Of a proxy, too.
		refusal = u1db.ErrDocumentTooBig
	}
	return nil, fmt.Errorf("%s %s: %w", q.method, q.path, refusal)
}

// unable are the statuses of a server that cannot work, where another one may.
var unable = []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// leave turns to the next server, unless somebody has since turn.
func (r *Remote) leave(turn uint32) { r.turns.CompareAndSwap(turn, turn+1) }

// sending is a request's body: whenever the network takes some of it the
// server has the whole idle time again.
type sending struct {
	io.ReadCloser
	timer *time.Timer
}

func (s *sending) Read(p []byte) (int, error) {
	s.timer.Reset(idle)
	return s.ReadCloser.Read(p)
}

// receiving is an answer's body: the server has the idle time for each Read,
// the reader takes what time it likes between them.
type receiving struct {
	r     io.Reader
	timer *time.Timer
}

func (r *receiving) Read(p []byte) (int, error) {
	r.timer.Reset(idle)
	defer r.timer.Stop()
	return r.r.Read(p)
}

// bytes sends a request and returns the answer's body of at most limit bytes.
func (r *Remote) bytes(ctx context.Context, q request, limit int64) ([]byte, *answer, error) {
	a, err := r.do(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	defer a.close()
	b, err := io.ReadAll(io.LimitReader(a.body, limit+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", q.method, q.path, problem.Unavailable.Errorf("the answer broke off: %w", err))
	}
	if int64(len(b)) > limit {
		return nil, nil, problem.Limit.Errorf("%s %s: the answer has more than %d bytes", q.method, q.path, limit)
	}
	return b, a, nil
}

// json sends a request and decodes the answer into v.
func (r *Remote) json(ctx context.Context, q request, v any) error {
	b, _, err := r.bytes(ctx, q, maxAnswer)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s %s: the answer is not understood: %w", q.method, q.path, err)
	}
	return nil
}

// is checks the content type of a stream.
func (a *answer) is(kind string) error {
	got, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || got != kind {
		return fmt.Errorf("the answer is %q, not %s: %w", a.header.Get("Content-Type"), kind, u1db.ErrBadRequest)
	}
	return nil
}
