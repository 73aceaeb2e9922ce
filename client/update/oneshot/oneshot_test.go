package oneshot_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/client/update"
	"leap.example/client/update/oneshot"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen returns an audience on a socket.
func listen(t *testing.T) (*oneshot.Audience, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ask.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return oneshot.NewAudience(ln), path
}

// TestAsk: who asks is told how far it is and how it ends; who sends is not heard;
// who does not listen keeps nobody waiting.
func TestAsk(t *testing.T) {
	a, path := listen(t)
	deaf, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	if _, err := deaf.Write([]byte(`{"now":true}`)); err != nil {
		t.Fatal(err)
	}
	type told struct {
		last  oneshot.Line
		lines []oneshot.Line
		err   error
	}
	done := make(chan told, 1)
	first := make(chan struct{}, 1000)
	go func() {
		var r told
		r.last, r.err = oneshot.Ask(t.Context(), path, func(l oneshot.Line) {
			r.lines = append(r.lines, l)
			first <- struct{}{}
		})
		done <- r
	}()
	for heard := false; !heard; {
		a.Progress("1.1.0", 7, 100)
		select {
		case <-first:
			heard = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	a.Progress("1.1.0", 100, 100)
	a.End(oneshot.Line{Version: "1.1.0"})
	r := <-done
	n := len(r.lines)
	if r.err != nil || r.last != (oneshot.Line{Version: "1.1.0", End: true}) || n < 2 || r.lines[n-1].Done != 100 {
		t.Errorf("%+v", r)
	}
	if _, err := oneshot.Ask(t.Context(), path, nil); !errors.Is(err, oneshot.ErrNoUnit) {
		t.Errorf("afterwards: %v", err)
	}
}

// TestShort: who asks a unit that ends at once is told why.
func TestShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ask.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", path) // It waits, as for systemd.
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	oneshot.NewAudience(ln).End(oneshot.Line{Problem: "soon"})
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(c)
	if l, failed := oneshot.ParseLine(text); err != nil || failed != nil || l.Problem != "soon" || !l.End {
		t.Errorf("%q, %v", text, err)
	}
}

// TestLongProblem: however long the reason is, and whatever is in it, it arrives, cut.
func TestLongProblem(t *testing.T) {
	for _, test := range []struct{ problem, want string }{
		{"short", "short"},
		{strings.Repeat("x", 1024), strings.Repeat("x", 1024)},
		{strings.Repeat("x", 100_000), strings.Repeat("x", 1021) + "…"},
		{strings.Repeat("\x01", 100_000), strings.Repeat("\x01", 1021) + "…"},
		{strings.Repeat("é", 100_000), strings.Repeat("é", 510) + "…"},
	} {
		a, path := listen(t)
		done := make(chan error, 1)
		var l oneshot.Line
		first := make(chan struct{}, 1000)
		go func() {
			var err error
			l, err = oneshot.Ask(t.Context(), path, func(oneshot.Line) { first <- struct{}{} })
			done <- err
		}()
		for heard := false; !heard; {
			a.Progress("1.1.0", 7, 7)
			select {
			case <-first:
				heard = true
			case <-time.After(10 * time.Millisecond):
			}
		}
		a.End(oneshot.Line{Problem: test.problem, Well: true})
		if err := <-done; err != nil || l != (oneshot.Line{Problem: test.want, Well: true, End: true}) {
			t.Errorf("%d bytes of %.3q: %d bytes, %v", len(test.problem), test.problem, len(l.Problem), err)
		}
	}
}

// TestAskEnds with its context, and when the unit dies.
func TestAskEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ask.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := oneshot.Ask(ctx, path, nil); done <- err }()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	c.Close()
	go func() { _, err := oneshot.Ask(t.Context(), path, nil); done <- err }()
	if c, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "hung up") {
		t.Errorf("%v", err)
	}
}

// TestInherited: without systemd there is nothing to inherit.
func TestInherited(t *testing.T) {
	for _, v := range [][2]string{{"", ""}, {"1", "1"}, {"x", "1"}} {
		if ln, err := oneshot.Inherited(v[0], v[1]); ln != nil || err != nil {
			t.Errorf("%v: %v, %v", v, ln, err)
		}
	}
}

// TestUnits has systemd read the units, and removes them.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	i := oneshot.Install{Dir: dir, Prefix: update.Prefix(filepath.Join(t.TempDir(), "leap"))}
	if err := os.MkdirAll(filepath.Dir(i.Program()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(i.Program(), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	// Below /tmp, which all can write.
	if err := i.Write(); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a prefix that others can write: %v", err)
	}
	names := []string{oneshot.Service, oneshot.Listen, oneshot.Timer}
	for _, name := range names {
		text, err := i.Text(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, oneshot.Service))
	if err != nil || !strings.Contains(string(text), "ExecStart="+i.Program()+" update-unit\n") || !strings.Contains(string(text), "CapabilityBoundingSet=\n") {
		t.Errorf("%v\n%s", err, text)
	}
	if program, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("LOUD: systemd-analyze is not there: nobody has read the units")
	} else {
		for _, name := range names {
			out, err := exec.CommandContext(t.Context(), program, "verify", filepath.Join(dir, name)).CombinedOutput()
			if strings.Contains(string(out), "leap-update") {
				t.Errorf("systemd-analyze: %v\n%s", err, out)
			}
		}
	}
	if err := i.Remove(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte(`{"version":"1.1.0","done":7,"length":100}`))
	f.Add([]byte(`{"end":true,"problem":"x"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := oneshot.ParseLine(data)
		if err == nil {
			if again, err := oneshot.ParseLine(l.JSON()); err != nil || again != l {
				t.Errorf("%+v becomes %+v, %v", l, again, err)
			}
		}
	})
}
