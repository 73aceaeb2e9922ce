package pouch_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"leap.example/tests/couch/foreign"
	"leap.example/tests/couch/node"
	"leap.example/tests/couch/suite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClient(t *testing.T) {
	t.Parallel()
	judge(t, "one node", node.Single)
}

func TestClientOfParts(t *testing.T) {
	t.Parallel()
	judge(t, "databases in parts", node.InParts(node.Single))
}

func TestClientOfThreeNodes(t *testing.T) {
	foreign.OnlyLong(t)
	t.Parallel()
	judge(t, "three nodes", node.Three)
}

// programs are files of testdata and how many checks each has at least: one
// that ends early has not judged.
var programs = map[string]int{"documents.js": 25, "attachments.js": 11, "replication.js": 10}

func judge(t *testing.T, on string, start node.Starter) {
	t.Helper()
	foreign.Modules(t)
	url := start(t).URL()
	for program, least := range programs {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			checks := foreign.Run(t, filepath.Join("testdata", program), url)
			if len(checks) < least {
				t.Errorf("%d checks, want at least %d", len(checks), least)
			}
			t.Logf(suite.Counted+"pouchdb on %s, %s: %d checks", on, program, len(checks))
			for _, c := range checks {
				t.Run(c.Name, func(t *testing.T) {
					if !c.OK {
						t.Error(c.Name)
					}
				})
			}
		})
	}
}
