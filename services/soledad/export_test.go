package soledad

import (
	"context"
	"net/http"
	"time"
)

// SetPatience sets how long a connection may rest.
func (s *Server) SetPatience(d time.Duration) { s.patience = d }

// SetMaxChanges sets how many changes one answer holds.
func (s *Server) SetMaxChanges(n int) { s.maxChanges = n }

// Handler returns the server without its listener.
func (s *Server) Handler(ctx context.Context) http.Handler { return s.handler(ctx) }
