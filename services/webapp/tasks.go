package webapp

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
)

// Limits of invitations that are asked for at once.
const (
	maxInvites    = 1000
	maxInviteUses = 100_000
	maxInviteDays = 3650
	maxTask       = 4 << 10 // Bytes of a request.
)

// listenTasks listens on the socket for tasks; nil if there is none. Whoever may
// connect to it may have tasks done: the directory of the socket decides.
func (s *Server) listenTasks(ctx context.Context) (net.Listener, error) {
	if s.cfg.TaskSocket == "" {
		return nil, nil
	}
	// A process that was killed leaves its socket behind.
	if err := os.Remove(s.cfg.TaskSocket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return new(net.ListenConfig).Listen(ctx, "unix", s.cfg.TaskSocket)
}

// tasks returns the handler of the socket for tasks.
func (s *site) tasks() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /invite", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		made, err := s.invite(w, r)
		if err != nil {
			w.Header().Set("Content-Type", problem.ContentType)
			w.WriteHeader(problem.KindOf(err).Status())
			_ = json.NewEncoder(w).Encode(problem.Document{Type: problem.KindOf(err), Detail: err.Error()}) // Root may know all of it.
			return
		}
		_ = json.NewEncoder(w).Encode(made) // A broken connection has nowhere to report to.
	})
	return mux
}

// invite makes invitations.
func (s *site) invite(w http.ResponseWriter, r *http.Request) (made bonafide.Invites, err error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTask))
	if err != nil {
		return made, err
	}
	var want bonafide.InviteRequest
	if err := json.Unmarshal(text, &want); err != nil {
		return made, problem.Invalid.Errorf("the request: %w", err)
	}
	if want.Count < 1 || want.Count > maxInvites || want.Uses < 1 || want.Uses > maxInviteUses || want.Days < 0 || want.Days > maxInviteDays {
		return made, problem.Invalid.Errorf("between 1 and %d codes can be made at once, for 1 to %d uses and at most %d days", maxInvites, maxInviteUses, maxInviteDays)
	}
	if want.Days > 0 {
		made.Expires = time.Now().UTC().Truncate(time.Second).AddDate(0, 0, want.Days)
	}
	for len(made.Codes) < want.Count {
		code := newInvite()
		if err := s.st.Invites.Create(r.Context(), code, want.Uses, made.Expires); err != nil {
			return made, err
		}
		made.Codes = append(made.Codes, code)
	}
	return made, nil
}

// newInvite returns a code "xxxx-xxxx" of letters and digits that are not
// mistaken: 40 bits, of which few are tried, as sign-ups are limited.
func newInvite() string {
	var b [5]byte
	rand.Read(b[:]) // Never fails.
	code := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	return code[:4] + "-" + code[4:]
}
