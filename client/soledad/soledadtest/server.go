// Package soledadtest has what tests of a client need of the world around its
// store: a soledad server in memory that speaks the real protocol over
// loopback HTTP, and can be made to lie and to break; and a disk that loses
// what was not synced when the power fails.
//
// The server holds what a provider would: it never sees a key. It does what
// leap-protocols.md 7 and client.md 4.4 say, for documents, keyring,
// notifications, incoming mail and blobs; it is not made for size.
package soledadtest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// A Server is a soledad with any number of users.
type Server struct {
	URL string

	http *httptest.Server

	mu    sync.Mutex // Guards what follows and all users.
	users map[string]*user
	fault func(w http.ResponseWriter, r *http.Request) bool
}

// A user is one account.
type user struct {
	token    string
	replica  string
	docs     map[string]u1db.Document
	log      []u1db.Change
	sources  map[string]u1db.SyncDone
	sync     map[string]map[string]int // Source and sync id: generations of the documents that it wrote.
	returned map[string]map[string]bool
	queue    []message
	blobs    map[string][]byte
	room     int64         // For blobs together, bytes.
	largest  int           // Document, bytes of content.
	changed  chan struct{} // Closed at the next change.
}

type message struct {
	id   string
	body []byte
}

// NewServer starts a server without users.
func NewServer() *Server {
	s := &Server{users: map[string]*user{}}
	mux, blobs, root := http.NewServeMux(), http.NewServeMux(), http.NewServeMux()
	root.Handle("/", mux)
	root.Handle("/blobs/", blobs)
	on := mux
	handle := func(pattern string, f func(*user, http.ResponseWriter, *http.Request) error) {
		on.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, f) })
	}
	handle("GET /{db}/sync-from/{source}", s.info)
	handle("PUT /{db}/sync-from/{source}", s.done)
	handle("POST /{db}/sync-from/{source}", s.post)
	handle("GET /{db}/doc/keyring", s.getKeyring)
	handle("PUT /{db}/doc/keyring", s.putKeyring)
	handle("GET /{db}/notify", s.notify)
	handle("GET /{db}/incoming", s.incoming)
	handle("GET /{db}/incoming/{id}", s.getIncoming)
	handle("DELETE /{db}/incoming/{id}", s.deleteIncoming)
	on = blobs
	handle("GET /blobs/{db}/{id}", s.getBlob)
	handle("PUT /blobs/{db}/{id}", s.putBlob)
	handle("DELETE /blobs/{db}/{id}", s.deleteBlob)
	s.http = httptest.NewServer(root)
	s.URL = s.http.URL
	return s
}

// Close stops the server.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// AddUser makes an account with an empty database.
func (s *Server) AddUser(id, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	replica, err := u1db.NewReplica(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail.
	}
	s.users[id] = &user{
		token: token, replica: replica, docs: map[string]u1db.Document{}, sources: map[string]u1db.SyncDone{},
		sync: map[string]map[string]int{}, returned: map[string]map[string]bool{}, blobs: map[string][]byte{}, changed: make(chan struct{}),
		room: math.MaxInt64, largest: math.MaxInt,
	}
}

// SetToken replaces a user's token, as if the old one had expired.
func (s *Server) SetToken(id, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[id].token = token
}

// Remote returns a remote for a user, with a token that always fits.
func (s *Server) Remote(id string) *soledad.Remote {
	return soledad.NewRemote(s.http.Client(), []string{s.URL}, id, func(context.Context) (string, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.users[id].token, nil
	})
}

// Limit bounds what a user may store from now on: blobs together and the
// content of one document, in bytes.
func (s *Server) Limit(id string, blobs int64, document int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[id].room, s.users[id].largest = blobs, document
}

// Fault lets f answer requests instead of the server: it reports whether it
// has. f may also panic with http.ErrAbortHandler, which cuts the connection.
// nil ends it.
func (s *Server) Fault(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Deliver puts a message into a user's incoming queue, as the MX does, and
// returns its id.
func (s *Server) Deliver(userID string, body []byte) string {
	id, err := u1db.NewReplica(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail.
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[userID]
	u.queue = append(u.queue, message{id, body})
	u.wake()
	return id
}

// Queue returns the ids in a user's incoming queue.
func (s *Server) Queue(userID string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, m := range s.users[userID].queue {
		ids = append(ids, m.id)
	}
	return ids
}

// Documents returns what a user's database holds, in the order of the log.
func (s *Server) Documents(userID string) []u1db.Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.users[userID].docs), func(a, b u1db.Document) int { return a.Gen - b.Gen })
}

// Blobs returns the blobs that a user has here, by id.
func (s *Server) Blobs(userID string) map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.users[userID].blobs)
}

// Forge stores a document as a hostile server would: without asking, under a
// new generation.
func (s *Server) Forge(userID string, d u1db.Document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[userID].append(d)
}

// Snapshot returns a function that brings a user's database back to its
// present state, as a restored backup does.
func (s *Server) Snapshot(userID string) (restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[userID]
	docs, log, sources, blobs := maps.Clone(u.docs), slices.Clone(u.log), maps.Clone(u.sources), maps.Clone(u.blobs)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		u.docs, u.log, u.sources, u.blobs = maps.Clone(docs), slices.Clone(log), maps.Clone(sources), maps.Clone(blobs)
		u.sync, u.returned = map[string]map[string]int{}, map[string]map[string]bool{}
	}
}

// serve authenticates, and answers errors with their words.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, f func(*user, http.ResponseWriter, *http.Request) error) {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	u, err := s.authenticate(r)
	if err == nil {
		err = f(u, w, r)
	}
	if err != nil {
		e := u1db.WordsOf(err)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(e.Status)
		_, _ = w.Write(e.Body()) // The client is gone, then.
	}
}

func (s *Server) authenticate(r *http.Request) (*user, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Token ")
	b, err := base64.StdEncoding.DecodeString(text)
	id, token, colon := strings.Cut(string(b), ":")
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[id]
	if !ok || err != nil || !colon || u == nil || token != u.token {
		return nil, u1db.ErrUnauthorized
	}
	if db := r.PathValue("db"); db != "user-"+id && db != id {
		return nil, problem.Permission.Errorf("not your database")
	}
	return u, nil
}

// append gives a document the next generation.
func (u *user) append(d u1db.Document) u1db.Document {
	trans, err := u1db.NewTransID(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail.
	}
	d.Gen, d.TransID = len(u.log)+1, trans
	u.docs[d.ID] = d
	u.log = append(u.log, u1db.Change{DocID: d.ID, Gen: d.Gen, TransID: trans})
	u.wake()
	return d
}

func (u *user) wake() {
	close(u.changed)
	u.changed = make(chan struct{})
}

// trans returns the transaction id of a generation; "" at 0 and beyond the log.
func (u *user) trans(gen int) string {
	if gen < 1 || gen > len(u.log) {
		return ""
	}
	return u.log[gen-1].TransID
}

func answer(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(v)
}
