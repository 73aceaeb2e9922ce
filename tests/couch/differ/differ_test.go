package differ_test

import (
	"flag"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"leap.example/tests/couch/differ"
	"leap.example/tests/couch/foreign"
	"leap.example/tests/couch/node"
	"leap.example/tests/couch/suite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// How many histories of how many requests.
const (
	shortHistories = 40
	longHistories  = 1500
	requestsLeast  = 10
	requestsMost   = 50
)

// TestDiffer tells both servers the same histories, of requests about documents
// and about queries.
func TestDiffer(t *testing.T) {
	other := foreign.Serve(t)
	judge := differ.NewJudge(differ.Excuses())
	pair := differ.NewPair(judge, node.Single(t).URL(), other.URL, other.Wait)
	t.Cleanup(pair.Close)
	histories := shortHistories
	if foreign.Long() {
		histories = longHistories
	} else {
		setFlag(t, "rapid.seed", "1") // What everybody runs gives everybody the same answer.
	}
	setFlag(t, "rapid.nofailfile", "true")
	total := 0
	for _, part := range []struct {
		name      string
		of        map[string]func(*rapid.T) differ.Request
		histories int
	}{{"documents", documents, histories}, {"queries", queries, histories / 4}} {
		t.Run(part.name, func(t *testing.T) {
			setFlag(t, "rapid.checks", strconv.Itoa(part.histories))
			history := rapid.SliceOfN(requests(part.of), requestsLeast, requestsMost)
			rapid.Check(t, func(rt *rapid.T) {
				h := history.Draw(rt, "history")
				n, err := pair.Play(t.Context(), h)
				total += n
				if err != nil {
					rt.Fatalf("%v\nafter:%s", err, told(h[:min(n+1, len(h))]))
				}
			})
		})
	}
	t.Logf(suite.Counted+"differ: %d histories, %d answers compared, %d excuses", histories+histories/4, total, len(differ.Excuses()))
	for _, e := range judge.Unneeded() {
		if foreign.Long() {
			t.Errorf("an excuse was never needed: %s: %s", e.Row, e.Why)
		}
	}
}

func told(history []differ.Request) string {
	var s strings.Builder
	for _, r := range history {
		s.WriteString("\n  " + r.String())
	}
	return s.String()
}

func setFlag(t *testing.T, name, value string) {
	t.Helper()
	old := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(name, old) }) // It was valid before.
}
