package deploytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
)

// A releases is the part of an agent that takes releases: the next start decides.
type releases struct {
	before string // The good one before the one that runs.
	next   string // That is written, and not started yet.
	taken  int    // Bytes of all releases.
	came   int    // Bytes in which they came.
	spoil  func(version string) string
}

// JudgeReleases has f say why a release is bad. Nil, or "": it is good.
func (a *Agent) JudgeReleases(f func(version string) string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.releases.spoil = f
}

// Taken is how many bytes of releases came.
func (a *Agent) Taken() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.releases.taken
}

// Came is in how many bytes they came, packed or not.
func (a *Agent) Came() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.releases.came
}

func (a *Agent) serveRelease(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	version := q.Get("version")
	a.mu.Lock()
	bad := slices.ContainsFunc(a.status.Image.Bad, func(b node.BadRelease) bool { return b.Version == version })
	a.mu.Unlock()
	if bad && q.Get("again") != "1" {
		return problem.Invalid.Errorf("this release was found bad before")
	}
	var came bytes.Buffer
	body := io.TeeReader(r.Body, &came)
	if r.Header.Get("Content-Encoding") == node.ReleasePacked {
		d, err := zstd.NewReader(body, zstd.WithDecoderMaxWindow(node.ReleaseWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		defer d.Close()
		body = d
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != q.Get("sha256") {
		return problem.Invalid.Errorf("this is another release")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.releases.next = version
	a.releases.taken += len(content)
	a.releases.came += came.Len()
	return json.NewEncoder(w).Encode(node.Armed{Version: version, Within: node.Duration(time.Minute)})
}

// restart starts the release that was written, if there is one.
func (a *Agent) restart(w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusAccepted)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status.Booted = a.status.Booted.Add(time.Hour)
	version := a.releases.next
	if a.releases.next = ""; version == "" {
		return nil
	}
	if a.releases.spoil != nil {
		if why := a.releases.spoil(version); why != "" {
			a.status.Image.Bad = append(a.status.Image.Bad, node.BadRelease{Version: version, Reason: why})
			return nil
		}
	}
	a.releases.before, a.status.Release = a.status.Release, version
	return nil
}

func (a *Agent) serveBack(w http.ResponseWriter, r *http.Request) error {
	a.mu.Lock()
	before := a.releases.before
	if before != "" {
		a.status.Release, a.releases.before = before, ""
	}
	a.mu.Unlock()
	if before == "" {
		return problem.Invalid.Errorf("there is no other release to fall back to")
	}
	return a.restart(w, r)
}

func (a *Agent) serveMirror(w http.ResponseWriter, r *http.Request) error {
	if a.Mirror == nil {
		return problem.Invalid.Errorf("this node keeps no copies of releases")
	}
	copies, err := a.Mirror(r.Body)
	if err != nil {
		return problem.Invalid.Errorf("the bundle: %w", err)
	}
	a.mu.Lock()
	a.status.Mirror = copies
	a.mu.Unlock()
	return json.NewEncoder(w).Encode(copies)
}
