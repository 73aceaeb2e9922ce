package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"leap.example/appliance/dev"
	"leap.example/client/control"
	"leap.example/services/protocol/srp"
)

// rest is how long the provider is left alone before its memory is read: its
// pool of certificates is full by then.
const rest = 20 * time.Second

// signUps is how many accounts are made.
const signUps = 3

// provider measures "leapd dev" at rest, and sign-ups with it.
func (r *recorder) provider() error {
	fmt.Fprintln(r.out, "\n# leapd dev")
	base, err := freePorts()
	if err != nil {
		return err
	}
	home := filepath.Join(r.scratch, "dev")
	p, err := r.start("leapd", "dev", "--dir", home, "--base-port", strconv.Itoa(base))
	if err != nil {
		return err
	}
	defer p.stop()
	at, err := p.healthy(r.ctx, home)
	if err != nil {
		return err
	}
	select { // What follows is about rest, not about starting.
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-time.After(rest):
	}
	status := fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)
	rss := field(status, "VmRSS")
	fmt.Fprintf(r.out, "idle for %v after it was healthy: VmRSS %s, RssAnon %s, VmHWM %s\n", rest, rss, field(status, "RssAnon"), field(status, "VmHWM"))
	kib, err := strconv.ParseFloat(strings.TrimSuffix(rss, " kB"), 64)
	if err != nil {
		return fmt.Errorf("memory of leapd dev: %w", err)
	}
	r.found.set("idle", "MB", kib*1024/1e6)
	return r.signUps(at)
}

// signUps measures "leapc signup" on new devices, and the password hash alone
// between them.
func (r *recorder) signUps(at dev.Endpoints) error {
	var beyond, hashes []time.Duration
	for i := range signUps {
		hash, err := passwordHash()
		if err != nil {
			return err
		}
		took, err := r.signUp(at, fmt.Sprintf("bench%d", i))
		if err != nil {
			return err
		}
		fmt.Fprintf(r.out, "sign-up: %v, of it password hash %v\n", took.Round(time.Millisecond), hash.Round(time.Millisecond))
		beyond, hashes = append(beyond, took-hash), append(hashes, hash)
	}
	slices.Sort(beyond)
	slices.Sort(hashes)
	r.found.set("signup", "beyond-kdf-ms", beyond[signUps/2].Seconds()*1000)
	r.found.set("signup", "kdf-ms", hashes[signUps/2].Seconds()*1000)
	return nil
}

// passwordHash measures the hash that a sign-up computes once.
func passwordHash() (time.Duration, error) {
	salt, err := srp.NewSalt(rand.Reader)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	_, err = srp.Derive("srp-3072", "bench", "correct horse battery staple", salt, srp.DefaultKDF())
	return time.Since(begun), err
}

// signUp makes an account as a person does who has chosen the provider.
func (r *recorder) signUp(at dev.Endpoints, login string) (time.Duration, error) {
	home := filepath.Join(r.scratch, login)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return 0, err
	}
	daemon, err := r.start("leapc", "--home", home, "daemon")
	if err != nil {
		return 0, err
	}
	defer daemon.stop()
	err = until(r.ctx, func() error {
		_, err := control.Dial(filepath.Join(home, "leapc.sock")).Status(r.ctx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("the client's daemon: %w\n%s", err, daemon.said())
	}
	leapc := func(stdin string, args ...string) error {
		cmd := exec.CommandContext(r.ctx, filepath.Join(r.scratch, "leapc"), append([]string{"--home", home}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("leapc %s: %w\n%s%s", args[0], err, out, daemon.said())
		}
		return nil
	}
	if err := leapc("", "provider", "add", at.Bootstrap, "--ca-fingerprint", at.Fingerprint, "--resolver", at.Resolver); err != nil {
		return 0, err
	}
	begun := time.Now()
	err = leapc("correct horse battery staple\n", "signup", login, "--invite", at.Invite)
	return time.Since(begun), err
}

// A process is a program that runs beside.
type process struct {
	cmd *exec.Cmd
	log string // File of its output.
}

// start starts a program that build has built.
func (r *recorder) start(name string, args ...string) (*process, error) {
	log, err := os.CreateTemp(r.scratch, name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{cmd: exec.CommandContext(r.ctx, filepath.Join(r.scratch, name), args...), log: log.Name()}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	p.cmd.Stdout, p.cmd.Stderr = log, log
	return p, p.cmd.Start()
}

// said returns what the program has written.
func (p *process) said() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// stop asks the program to end, and waits until it has.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM) // It may have ended by itself.
	p.cmd.Wait()                          // How does not matter here.
}

// healthy waits until "leapd dev" says that all of its services are well.
func (p *process) healthy(ctx context.Context, home string) (at dev.Endpoints, err error) {
	hc := &http.Client{Timeout: 10 * time.Second}
	err = until(ctx, func() (err error) {
		if at, err = dev.ReadEndpoints(home); err != nil {
			return err
		}
		resp, err := hc.Get("http://" + at.Health + "/")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(string(body))
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("leapd dev is not healthy: %w\n%s", err, p.said())
	}
	return at, err
}

// until polls f for a minute at most, until it returns nil.
func until(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freePorts returns the first of a hundred ports that are free now.
func freePorts() (int, error) {
next:
	for base := 28000; base < 32000; base += 100 {
		for port := base; port < base+100; port++ {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				continue next
			}
			ln.Close()
		}
		return base, nil
	}
	return 0, errors.New("no hundred free TCP ports on loopback")
}
