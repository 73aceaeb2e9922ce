package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"leap.example/services/daemon"
	"leap.example/tests/couchfaults/audit"
	"leap.example/tests/couchfaults/lab"
)

var flips = flag.Int("flips", 2, "how often a node's files of each kind are damaged")

// A node by itself whose files rot stops with the status that says that a
// restart cannot help, and stays down. Until then it serves nothing wrong.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{".sst", ".log"} {
		t.Run(kind[1:], func(t *testing.T) {
			t.Parallel()
			for seed := range *flips {
				rot(t, kind, uint64(seed))
			}
		})
	}
}

func rot(t *testing.T, kind string, seed uint64) {
	l := newLab(t, lab.Options{Nodes: 1})
	n := l.Nodes[0]
	start(t, l)
	a := auditor(t, l)
	do(t, a, put, "/db", "", nil)
	written := fill(t, a, 0, 600)
	if kind == ".sst" {
		n.Kill() // The next start turns its log into tables.
		start(t, l)
	}
	n.Kill()
	files, err := n.Files(kind)
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s: %v", kind, err)
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	file := files[rng.IntN(len(files))]
	if err := lab.Flip(rng, file, 9); err != nil {
		t.Fatal(err)
	}
	if err := n.Launch(); err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(t.Context()); err == nil {
		reread(t, a, written)
	}
	status, err := n.Wait(t.Context(), 20*time.Second)
	if err != nil || status != daemon.ExitStay || !n.Marked() {
		t.Fatalf("seed %d, bits of %s flipped: status %d, want %d; marked %v; %v", seed, file, status, daemon.ExitStay, n.Marked(), err)
	}
	if err := n.Launch(); err != nil {
		t.Fatal(err)
	}
	if status, err := n.Wait(t.Context(), 20*time.Second); err != nil || status != daemon.ExitStay {
		t.Errorf("started again: status %d, want %d; %v", status, daemon.ExitStay, err)
	}
}

// fill writes documents and returns their values by id.
func fill(t *testing.T, a *audit.Auditor, from, n int) map[string]string {
	t.Helper()
	written := map[string]string{}
	for ; n > 0; n -= 100 {
		var docs []string
		for i := range min(n, 100) {
			id, value := fmt.Sprintf("d%d", from+n+i), strings.Repeat(fmt.Sprintf("value %d ", i), 60)
			written[id] = value
			docs = append(docs, fmt.Sprintf(`{"_id":%q,"value":%q}`, id, value))
		}
		do(t, a, post, "/db/_bulk_docs", `{"docs":[`+strings.Join(docs, ",")+`]}`, nil)
	}
	return written
}

// reread reads all documents, and wants true answers or none.
func reread(t *testing.T, a *audit.Auditor, written map[string]string) {
	t.Helper()
	for id, value := range written {
		var doc struct{ Value string }
		status, err := a.Do(t.Context(), get, a.URLs[0], "/db/"+id, "", &doc)
		if status == http.StatusOK && (err != nil || doc.Value != value) || status == http.StatusNotFound {
			t.Fatalf("%s is served as %.40q with status %d, was %.40q; %v", id, doc.Value, status, value, err)
		}
	}
}
