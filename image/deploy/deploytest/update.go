package deploytest

import (
	"net/http"
	"time"

	"leap.example/appliance/node"
)

// serveUpdate looks for updates, and finds a bad one until an operator says that it
// may go on.
func (a *Agent) serveUpdate(w http.ResponseWriter, r *http.Request) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.status.Update = &node.Update{State: node.UpdateBad, Release: "1.1.0", Reason: "no queue", Checked: now, Next: now.Add(time.Hour)}
	if r.URL.Query().Get("again") == "1" {
		a.status.Update = &node.Update{State: node.UpdateDownload, Release: "1.1.0", Done: 5e6, Size: 60e6}
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}
