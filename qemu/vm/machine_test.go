package vm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/qemu/vm"
)

// hypervisor runs the fake QEMU, which behaves as told.
func hypervisor(t *testing.T, how string) *vm.Hypervisor {
	t.Helper()
	t.Setenv(as, how)
	h, err := vm.Open(t.Context(), vm.Options{Program: os.Args[0], Accel: vm.TCG})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// bare is the smallest machine.
func bare(name string) vm.Config { return vm.Config{Name: name, Kernel: os.Args[0]} }

func start(t *testing.T, h *vm.Hypervisor, c vm.Config) *vm.Machine {
	t.Helper()
	m, err := h.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// patience returns a context that is long enough for anything here.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestLife(t *testing.T) {
	h, ctx := hypervisor(t, "good"), patience(t)
	c := bare("a")
	dir := t.TempDir()
	c.Serial = filepath.Join(dir, "a.log")
	m := start(t, h, c)
	end, err := m.WaitSerial(ctx, 0, "guest: up")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		do   func(context.Context) error
		want string
	}{{m.Freeze, "paused"}, {m.Thaw, "running"}} {
		if err := step.do(ctx); err != nil {
			t.Error(err)
		}
		if got, err := m.Status(ctx); err != nil || got != step.want {
			t.Errorf("status %q, %v; want %s", got, err, step.want)
		}
	}
	if err := m.Reset(ctx); err == nil || !strings.Contains(err.Error(), "no reset here") {
		t.Errorf("a command that fails: %v", err)
	}
	if err := m.Save(dir); err != nil {
		t.Error(err)
	}
	if err := m.PowerButton(ctx); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("no answer to a command: %v", err)
	}
	if exit, err := m.Wait(ctx); err != nil || exit != (vm.Exit{Reason: "guest-shutdown"}) {
		t.Errorf("ended: %v, %v", exit, err)
	}
	if _, err := m.WaitSerial(ctx, end, "guest: up"); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("text after the end: %v", err)
	}
	for name, want := range map[string]string{"a.log": "guest: booting\nguest: up\n", "a.serial.log": "guest: booting\nguest: up\n", "a.qemu.txt": "runs\n"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.HasSuffix(string(b), want) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if err := m.Save(dir); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "a.qemu.txt")); err != nil || !strings.Contains(string(b), "ended: guest-shutdown") {
		t.Errorf("about a machine that has ended: %q, %v", b, err)
	}
}

func TestPowerCut(t *testing.T) {
	for how, want := range map[string]string{"good": "host-qmp-quit", "stubborn": ""} {
		t.Run(how, func(t *testing.T) {
			m := start(t, hypervisor(t, how), bare("a"))
			select {
			case <-m.Done():
				t.Fatal("ended before")
			default:
			}
			if err := m.PowerCut(patience(t)); err != nil {
				t.Fatal(err)
			}
			if exit, err := m.Wait(t.Context()); err != nil || exit.Reason != want {
				t.Errorf("ended: %v, %v", exit, err)
			}
			if err := m.PowerCut(patience(t)); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

func TestBadStarts(t *testing.T) {
	if _, err := hypervisor(t, "broken").Start(patience(t), bare("a")); err == nil || !strings.Contains(err.Error(), "no such board") {
		t.Errorf("QEMU complains: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := hypervisor(t, "silent").Start(soon, bare("a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("QEMU says nothing: %v", err)
	}
	c := bare("a")
	c.Ready = func(ctx context.Context, m *vm.Machine) error {
		if _, err := m.WaitSerial(ctx, 0, "up"); err != nil {
			return err
		}
		return errors.New("it is not as it should be")
	}
	if _, err := hypervisor(t, "good").Start(patience(t), c); err == nil || !strings.Contains(err.Error(), "not as it should be") || !strings.Contains(err.Error(), "guest: up") {
		t.Errorf("a guest that is not ready: %v", err)
	}
	c = bare("a")
	c.Serial = filepath.Join(t.TempDir(), "no", "such")
	if _, err := hypervisor(t, "good").Start(patience(t), c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a console in no directory: %v", err)
	}
}

// TestStarts starts more machines than may start at a time.
func TestStarts(t *testing.T) {
	h := hypervisor(t, "good")
	var starting, most atomic.Int64
	release := make(chan bool)
	done := make(chan error)
	const machines = 7
	for i := range machines {
		c := bare(fmt.Sprint("m", i))
		c.Ready = func(context.Context, *vm.Machine) error {
			n := starting.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); {
				old = most.Load()
			}
			<-release
			starting.Add(-1)
			return nil
		}
		go func() {
			m, err := h.Start(t.Context(), c)
			if err == nil {
				err = m.Close()
			}
			done <- err
		}()
	}
	for deadline := time.Now().Add(20 * time.Second); starting.Load() < 3 && time.Now().Before(deadline); time.Sleep(time.Millisecond) { // Between polls only.
	}
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Start(soon, bare("late")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one more that does not wait: %v", err)
	}
	close(release)
	for range machines {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 3 {
		t.Errorf("%d machines started at the same time, want 3", most.Load())
	}
}

// TestOrphan kills a process that has a machine.
func TestOrphan(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), as+"=lab")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(bufio.NewReader(out), &pid); err != nil {
		t.Error(err)
	}
	if !runs(pid) {
		t.Errorf("the machine, process %d, does not run", pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()                                                                              // It was killed.
	for deadline := time.Now().Add(10 * time.Second); runs(pid); time.Sleep(time.Millisecond) { // Between polls only.
		if time.Now().After(deadline) {
			t.Fatalf("the machine, process %d, outlives its lab", pid)
		}
	}
}

// runs reports whether a process is there and no zombie.
func runs(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "Z")
}
