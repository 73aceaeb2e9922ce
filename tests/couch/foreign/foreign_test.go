package foreign_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/tests/couch/foreign"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A server that dies comes back with what it had stored.
func TestServerIsStartedAgain(t *testing.T) {
	t.Parallel()
	s := foreign.Serve(t)
	script := write(t, `
const PouchDB = require('pouchdb');
(async () => {
  const [url, step] = process.argv.slice(2);
  const db = new PouchDB(url + '/kept');
  if (step === 'write') await db.put({_id: 'a', n: 1});
  const doc = await db.get('a');
  console.log((doc.n === 1 ? 'ok' : 'not ok') + ' - ' + step);
})();
`)
	want := func(step string) {
		t.Helper()
		if got := foreign.Run(t, script, s.URL, step); !slices.Equal(got, []foreign.Check{{Name: step, OK: true}}) {
			t.Fatalf("%s: %v", step, got)
		}
	}
	want("write")
	p, err := os.FindProcess(s.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); s.Starts() < 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not started again")
		}
	}
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("read")
}

// A program says by its status that a check was bad.
func TestRunTellsBadChecks(t *testing.T) {
	t.Parallel()
	got := foreign.Run(t, write(t, `console.log('ok - one\nnot ok - two: why'); process.exitCode = 1;`))
	if want := []foreign.Check{{Name: "one", OK: true}, {Name: "two: why"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func write(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program.js")
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
