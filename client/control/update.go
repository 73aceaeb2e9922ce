package control

import (
	"context"
	"net/http"
	"time"
)

// An Updates is what the daemon can do about its own program. Every method may be
// called from any goroutine.
type Updates interface {
	// UpdateStatus says which program the daemon is, and what it has heard of
	// newer ones. It never fails and never blocks.
	UpdateStatus(ctx context.Context) UpdateStatus
	// UpdateRestart has the daemon start again, in the same process, with the
	// program that is current. An account that is open is open again then. It
	// returns before that.
	UpdateRestart(ctx context.Context) error
}

// UpdateStatus is the answer of GET /v1/update.
type UpdateStatus struct {
	Schema    int        `json:"schema"`
	Version   string     `json:"version"`             // Of the daemon's program.
	Program   string     `json:"program"`             // Its path, with no links in it.
	Arguments []string   `json:"arguments"`           // That it was started with.
	PID       int        `json:"pid"`                 // Its process.
	Current   string     `json:"current,omitempty"`   // The version that a restart brings, if another.
	Available string     `json:"available,omitempty"` // A release that can be installed.
	Due       *time.Time `json:"due,omitempty"`       // When it is this computer's turn; none: now.
	Problem   string     `json:"problem,omitempty"`   // Why nothing was heard.
}

// updateRoutes are the calls of package control about updates.
func (s *Server) updateRoutes(mux *http.ServeMux) {
	u := s.updates
	mux.HandleFunc("GET /v1/update", answer(s, func(r *http.Request, _ none) (any, error) { return u.UpdateStatus(r.Context()), nil }))
	mux.HandleFunc("POST /v1/update/restart", answer(s, func(r *http.Request, _ none) (any, error) { return none{}, u.UpdateRestart(r.Context()) }))
}

// UpdateStatus is Updates.UpdateStatus. Unlike there it can fail.
func (c *Client) UpdateStatus(ctx context.Context) (UpdateStatus, error) {
	return call[UpdateStatus](ctx, c, "GET", "/v1/update", nil)
}

// UpdateRestart is Updates.UpdateRestart.
func (c *Client) UpdateRestart(ctx context.Context) error {
	_, err := call[none](ctx, c, "POST", "/v1/update/restart", none{})
	return err
}
