package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestHandOver has a secret go from one program to the next of the same process. That
// the next one really has it, over exec, is seen in tests/play.
func TestHandOver(t *testing.T) {
	if env, err := handOver(nil, []string{"A=b"}); err != nil || len(env) != 1 {
		t.Errorf("nothing is handed over by %q, %v", env, err)
	}
	env, err := handOver([]byte("secret"), []string{"A=b"})
	if err != nil || len(env) != 2 || strings.Contains(env[1], "secret") {
		t.Fatalf("%q, %v", env, err)
	}
	name, value, _ := strings.Cut(env[1], "=")
	if f, err := os.Open("/proc/self/fd/" + value); err == nil {
		t.Errorf("others can open %s", f.Name())
		f.Close()
	}
	if again, err := handOver([]byte("another"), env); err != nil || len(again) != 2 || again[1] == env[1] {
		t.Errorf("what an older program left stays: %q, %v", again, err)
	}
	t.Setenv(name, value)
	got, err := takeOver()
	if err != nil || !bytes.Equal(got, []byte("secret")) {
		t.Errorf("it took %q, %v", got, err)
	}
	if got, err := takeOver(); err != nil || got != nil {
		t.Errorf("twice: %q, %v", got, err)
	}
}

// TestTakeOverNothing has the variable name what no daemon handed over.
func TestTakeOverNothing(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fds[1]) // Somebody may still write: it is not waited for.
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, value := range map[string]string{
		"no number": "three", "the terminal": "1", "a closed one": "987654", "a file": strconv.Itoa(int(file.Fd())), "an empty socket": strconv.Itoa(fds[0]),
	} {
		t.Setenv(keptEnv, value)
		if got, err := takeOver(); err == nil || len(got) > 0 {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if _, there := os.LookupEnv(keptEnv); there {
			t.Errorf("%s: the variable stays", name)
		}
	}
}
