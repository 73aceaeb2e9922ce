package agent

import (
	"encoding/json"
	"net/http"

	"leap.example/appliance/mirror"
	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
)

// maxMirror is the greatest size of a bundle of releases, bytes.
const maxMirror = 2 << 30

// keeper keeps copies of repositories, if the node can.
func (a *Agent) keeper(cfg *mirror.Config) *mirror.Keeper {
	if cfg == nil {
		return nil
	}
	own := *cfg
	own.Log, own.Changed, own.Room = a.log, a.lookForUpdates, a.room
	own.Document = func() node.Document {
		d, _ := a.now()
		return d
	}
	return mirror.New(own)
}

// serveCopies tells what the node has copied.
func (a *Agent) serveCopies(w http.ResponseWriter, _ *http.Request) error {
	copies := []node.Copy{}
	if a.mirror != nil {
		copies = append(copies, a.mirror.Status()...)
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(copies)
}

// serveMirror takes a bundle that an operator brings, and answers what the node has
// copied then.
func (a *Agent) serveMirror(w http.ResponseWriter, r *http.Request) error {
	if err := inDate(r); err != nil {
		return err
	}
	if a.mirror == nil {
		return problem.Invalid.Errorf("this node has no writable partition: it can keep no copies")
	}
	room := max(a.room(), 0)
	switch {
	case r.ContentLength < 0 || r.ContentLength > maxMirror:
		return problem.Invalid.Errorf("a bundle whose length the request names is required, of at most %d bytes", maxMirror)
	case 2*r.ContentLength > room: // It lies there unpacked, too, while it is copied.
		return problem.Limit.Errorf("there is no room for the bundle: it takes twice its %d MB, and %d MB may be filled", r.ContentLength/1e6, room/1e6)
	}
	body := http.MaxBytesReader(w, r.Body, maxMirror)
	if err := a.mirror.Import(r.Context(), &slowly{body, http.NewResponseController(w)}, r.ContentLength); err != nil {
		return err
	}
	a.log.InfoContext(r.Context(), "an operator brought releases", "bytes", r.ContentLength)
	return a.serveCopies(w, r)
}
