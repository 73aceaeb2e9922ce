package account_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"leap.example/client/control"
)

// TestKillWhileSending kills a daemon at random points while a mail program
// sends: every mail that got a 250 arrives, whatever happened after it.
func TestKillWhileSending(t *testing.T) {
	w := newWorld(t)
	d, _ := w.member(t, "kill")
	d.stop() // The home goes to a process.
	var sent []string
	for round := range 3 {
		p := startDaemon(t, d.dir)
		m, err := p.Mail(t.Context())
		check(t, err)
		var wg sync.WaitGroup
		wg.Go(func() {
			for n := range 3 { // Altogether fewer than the relay takes from one user at once.
				subject := fmt.Sprintf("mail %d-%d", round, n)
				if send(m, m.Address, subject) != nil {
					return // Killed.
				}
				sent = append(sent, subject)
			}
		})
		time.Sleep(time.Duration(50+rand.IntN(750)) * time.Millisecond) // The random point.
		p.kill()
		wg.Wait()
	}
	d.start(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last daemon's log:\n%s", d.logs)
		}
	})
	check(t, d.unlock(t, password))
	d.wants(t, "the outbox is empty", func(s control.Status) bool { return s.Outbox == 0 && s.State == control.StateOnline })
	twice := 0
	until(t, "every mail that was taken is in INBOX", func() error {
		list, err := d.subjects(t, "INBOX")
		if err != nil {
			return err
		}
		count := map[string]int{}
		for _, s := range list {
			count[s]++
		}
		twice = 0
		for _, s := range sent {
			switch count[s] {
			case 0:
				return fmt.Errorf("%s is missing; there are %d of %d", s, len(count), len(sent))
			case 1:
			default:
				twice++
			}
		}
		return nil
	})
	if len(sent) == 0 {
		t.Error("nothing was sent: this proves nothing")
	}
	t.Logf("%d mails taken, all arrived, %d of them more than once", len(sent), twice)
}

// A killable is a daemon as a process, and its control API.
type killable struct {
	*control.Client
	cmd  *exec.Cmd
	once sync.Once
}

// startDaemon starts a daemon for the home dir and logs in.
func startDaemon(t *testing.T, dir string) *killable {
	t.Helper()
	p := &killable{Client: control.Dial(filepath.Join(dir, "leapc.sock")), cmd: exec.Command(os.Args[0])}
	var log bytes.Buffer
	p.cmd.Env = append(os.Environ(), daemonVar+"="+dir)
	p.cmd.Stderr = &log
	check(t, p.cmd.Start())
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", &log)
		}
	})
	until(t, "the daemon answers", func() error { _, err := p.Status(t.Context()); return err })
	check(t, p.Login(t.Context(), control.Credentials{Password: password}))
	return p
}

// kill ends the daemon without a word of warning.
func (p *killable) kill() {
	p.once.Do(func() {
		p.cmd.Process.Kill() // Wait says that it is gone.
		p.cmd.Wait()
		p.Close()
	})
}
