package clientupdate_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFailedStart: of a version whose daemon ends at once, or hangs, nothing is
// left within a minute but the note that it was bad. The old daemon is back, with
// the flags that it had.
func TestFailedStart(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute for each: not in -short")
	}
	for name, serves := range map[string]string{"it ends": "exit 1", "it hangs": "exec sleep 1000"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t)
			must(t, c.vendor.Release(t.Context(), "1.1.0", broken(t, "1.1.0", serves)))
			begun := time.Now()
			err := c.apply()
			took := time.Since(begun)
			if err == nil || !strings.Contains(err.Error(), "1.0.0 is back") {
				t.Fatalf("%v", err)
			}
			if took > time.Minute {
				t.Errorf("it took %v", took)
			}
			c.answers("1.0.0")
			if s := c.state(); s.Current != "1.0.0" || len(s.Bad) != 1 || s.Bad[0].Version != "1.1.0" || s.Trial != nil {
				t.Errorf("%+v", s)
			}
			if err := c.apply(); err == nil || !strings.Contains(err.Error(), "--retry") {
				t.Errorf("again: %v", err)
			}
			must(t, c.vendor.Release(t.Context(), "1.2.0", built(t, "1.2.0")))
			must(t, c.apply())
			c.answers("1.2.0")
			t.Logf("back after %v", took.Round(time.Second/10))
		})
	}
}

// TestRefusedHere: what does not say of itself what was signed is not installed,
// and the daemon goes on.
func TestRefusedHere(t *testing.T) {
	c := newClient(t)
	before, err := c.status()
	must(t, err)
	garbage := t.TempDir() + "/leapc"
	must(t, os.WriteFile(garbage, []byte("\x7fELF, it says"), 0o755))
	for _, test := range []struct{ version, program, says string }{
		{"1.1.0", built(t, "1.0.0"), "not what was signed"},
		{"1.1.1", garbage, "does not work here"},
		{"1.1.2", broken(t, "1.1.9", "exit 1"), "not what was signed"},
	} {
		must(t, c.vendor.Release(t.Context(), test.version, test.program))
		if err := c.apply(); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v; want %q", test.version, err, test.says)
		}
	}
	after, err := c.status()
	if err != nil || after.Version != "1.0.0" || after.PID != before.PID {
		t.Errorf("%+v, %v", after, err)
	}
	if s := c.state(); s.Current != "1.0.0" || len(s.Bad) != 3 {
		t.Errorf("%+v", s)
	}
}

// TestKilledUpdater kills "update apply" at moments of chance. Whatever it had
// done, current is whole; a daemon answers or can be started; and another try
// brings the update about.
func TestKilledUpdater(t *testing.T) {
	c := newClient(t)
	must(t, c.vendor.Release(t.Context(), "1.2.0", built(t, "1.2.0")))
	versions := map[string]int{}
	for range 12 {
		cmd := c.command(c.prefix.Start(), "update", "apply")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		must(t, cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(time.Duration(rand.N(int64(600 * time.Millisecond)))):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		out, err := exec.CommandContext(t.Context(), c.prefix.Start(), "update", "selfcheck", "--json").CombinedOutput()
		if err != nil {
			t.Fatalf("what is current does not work: %v: %s", err, out)
		}
		v, err := c.prefix.Current()
		must(t, err)
		versions[v]++
		if v == "1.2.0" {
			break
		}
	}
	if err := c.apply(); err != nil {
		t.Fatal(err)
	}
	c.answers("1.2.0")
	if s := c.state(); s.Current != "1.2.0" || len(s.Bad) > 0 || s.Trial != nil {
		t.Errorf("%+v", s)
	}
	t.Logf("current after each kill: %v", versions)
}

// TestBackCommand returns to the version before by hand.
func TestBackCommand(t *testing.T) {
	c := newClient(t)
	must(t, c.vendor.Release(t.Context(), "1.2.0", built(t, "1.2.0")))
	must(t, c.apply())
	c.answers("1.2.0")
	_, err := c.run(c.prefix.Start(), "update", "back")
	must(t, err)
	c.answers("1.0.0")
	out, err := c.run(c.prefix.Start(), "update", "log")
	if err != nil || !strings.Contains(string(out), `"installed"`) || !strings.Contains(string(out), `"back"`) {
		t.Errorf("%v: %s", err, out)
	}
}

// TestSaid: what people read, before and after an update.
func TestSaid(t *testing.T) {
	c := newClient(t)
	say := func(args ...string) string {
		t.Helper()
		cmd := c.command(c.prefix.Start())
		cmd.Args = append([]string{cmd.Path, "--home", c.home}, args...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v", args, err)
		}
		return string(out)
	}
	for _, step := range []struct {
		args string
		want []string
	}{
		{"update status", []string{"version  1.0.0", "looked   never", "next     leapc update check"}},
		{"update check", []string{"source   " + c.vendor.Source, "root 1", "next     nothing: this is the newest"}},
		{"", nil},
		{"update check", []string{"available  1.2.0", "signed     targets, release", "turn       now", "next       leapc update apply"}},
		{"update apply", []string{"1.2.0: 100 % of", "the daemon starts again as 1.2.0", "1.2.0 is installed, and the daemon runs it"}},
		{"update apply", []string{"1.2.0 is the newest release for this computer"}},
		{"update log", []string{"found      1.2.0", "installed  1.2.0  after 1.0.0; "}},
		{"--version", []string{"leapc version 1.2.0"}},
	} {
		if step.args == "" {
			must(t, c.vendor.Release(t.Context(), "1.2.0", built(t, "1.2.0")))
			continue
		}
		got := say(strings.Fields(step.args)...)
		for _, want := range step.want {
			if !strings.Contains(got, want) {
				t.Errorf("leapc %s does not say %q:\n%s", step.args, want, got)
			}
		}
		t.Logf("$ leapc %s\n%s", step.args, got)
	}
}
