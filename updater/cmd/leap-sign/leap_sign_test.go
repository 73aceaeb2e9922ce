package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh/agent"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"leap-sign": program})
}

// program is main on the day NOW.
func program() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	a := &app{in: os.Stdin, out: os.Stdout, errs: os.Stderr, agent: os.Getenv("SSH_AUTH_SOCK"), now: func() time.Time { return day(os.Getenv("NOW")) }}
	status := a.execute(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t.Add(12 * time.Hour)
}

// TestScripts lives whole ceremonies. "keys NAME…" makes keys that IDENTITY opens;
// "client NAME DIR PATH…" is two clients, which remember, and "newest NAME DIR
// RUNS PATH" is one that updates; "ssh-agent" starts an agent with a key; "foreign"
// makes a key and a signature as other programs do; "swap FILE OLD NEW" edits a
// file. "program", "manifest" and "image" make what is released, and "by" is a client
// that takes it: see travel_test.go.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			id, err := age.GenerateX25519Identity()
			if err != nil {
				return err
			}
			path := filepath.Join(env.WorkDir, "identity")
			env.Setenv("IDENTITY", path)
			env.Setenv("RECIPIENT", id.Recipient().String())
			env.Setenv("NOW", "2026-06-01")
			env.Setenv("HOME", env.WorkDir)
			return os.WriteFile(path, []byte(id.String()+"\n"), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"keys": keys, "client": client, "newest": newest, "ssh-agent": sshAgent, "foreign": foreign, "swap": swap,
			"program": programFile, "manifest": manifest, "image": image, "by": by,
		},
	})
}

func keys(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		ts.Check(ts.Exec("leap-sign", "key", "new", name, "--recipient", ts.Getenv("RECIPIENT")))
	}
}

func sshAgent(ts *testscript.TestScript, _ bool, _ []string) {
	ring := agent.NewKeyring()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	ts.Check(ring.Add(agent.AddedKey{PrivateKey: key, Comment: "dave@laptop"}))
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	ts.Check(ring.Add(agent.AddedKey{PrivateKey: curve, Comment: "token"}))
	dir, err := os.MkdirTemp("", "a") // Names of sockets are short.
	ts.Check(err)
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	ts.Check(err)
	ts.Setenv("SSH_AUTH_SOCK", ln.Addr().String())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(ring, conn) // It ends when the program goes.
			conn.Close()
		}
	}()
	ts.Defer(func() {
		ln.Close()
		<-done
		os.RemoveAll(dir)
	})
}

// foreign is "foreign FILE", which makes FILE.pem and FILE.private, or "foreign
// FILE PAYLOAD SIGNATURE".
func foreign(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0])
	if len(args) == 1 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		ts.Check(err)
		public, err := x509.MarshalPKIXPublicKey(key.Public())
		ts.Check(err)
		private, err := x509.MarshalECPrivateKey(key)
		ts.Check(err)
		ts.Check(os.WriteFile(file+".pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600))
		ts.Check(os.WriteFile(file+".private", private, 0o600))
		return
	}
	der, err := os.ReadFile(file + ".private")
	ts.Check(err)
	key, err := x509.ParseECPrivateKey(der)
	ts.Check(err)
	payload, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	digest := sha256.Sum256(payload)
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), sig, 0o600))
}

func swap(ts *testscript.TestScript, _ bool, args []string) {
	paths, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(paths) != 1 {
		ts.Fatalf("%d files are called %s", len(paths), args[0])
	}
	text, err := os.ReadFile(paths[0])
	ts.Check(err)
	pattern := regexp.MustCompile(args[1])
	if !pattern.Match(text) {
		ts.Fatalf("%s has no %s", paths[0], args[1])
	}
	ts.Check(os.WriteFile(paths[0], pattern.ReplaceAll(text, []byte(args[2])), 0o600))
}

// TestRunbook does what docs/release.md says, word for word.
func TestRunbook(t *testing.T) {
	text, err := os.ReadFile("../../../docs/release.md")
	if err != nil {
		t.Fatal(err)
	}
	var steps strings.Builder
	for i, part := range strings.Split(string(text), "```sh\n") {
		if code, _, ok := strings.Cut(part, "```"); ok && i > 0 {
			steps.WriteString(code)
		}
	}
	script := filepath.Join(t.TempDir(), "runbook.txtar")
	if err := os.WriteFile(script, []byte("exec sh -e runbook.sh\nstdout 'targets are intact'\n-- runbook.sh --\n"+steps.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Files: []string{script}, Setup: func(env *testscript.Env) error {
		env.Setenv("NOW", "2026-06-01")
		return nil
	}})
}

// TestHelp: every command has a help that teaches, and no two the same flag.
func TestHelp(t *testing.T) {
	for _, line := range []string{
		"", "key", "key new", "key agent", "key identity", "key show", "init", "event", "event new", "event renew", "event show", "event drop",
		"rollout", "rollout init", "rollout begin", "rollout halt", "rollout resume", "rollout show",
		"compare", "sign", "status", "publish", "rotate", "timestamp", "verify", "completion bash",
	} {
		var out, errs bytes.Buffer
		a := &app{in: os.Stdin, out: &out, errs: &errs, now: time.Now}
		if status := a.execute(t.Context(), append(strings.Fields(line), "--help")); status != 0 || out.Len() < 200 || errs.Len() > 0 {
			t.Errorf("leap-sign %s --help: status %d: %s%s", line, status, out.String(), errs.String())
		}
	}
}
