package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/appliance/node"
)

// TestTry has steps of init fail and panic: it goes on, and says so.
func TestTry(t *testing.T) {
	var console bytes.Buffer
	p := &pid1{console: &console}
	for what, ok := range map[string]bool{
		"well":    p.try("well", func() error { return nil }),
		"badly":   !p.try("badly", func() error { return errors.New("two\nlines") }),
		"panicky": !p.try("panicky", func() error { panic("no disk") }),
	} {
		if !ok {
			t.Error(what)
		}
	}
	if len(p.boot.Trouble) != 2 || !strings.Contains(p.boot.Trouble[1], "panic: no disk") {
		t.Errorf("trouble is %q", p.boot.Trouble)
	}
	for line := range strings.Lines(console.String()) {
		if !strings.HasPrefix(line, "leap: ") {
			t.Errorf("the console shows %q", line)
		}
	}
	if !strings.Contains(console.String(), "TROUBLE badly: two\nleap:   lines\n") {
		t.Errorf("the console shows %s", &console)
	}
}

func TestQuietly(t *testing.T) {
	said, err := quietly(func() error {
		fmt.Fprintln(os.Stderr, "one")
		fmt.Fprintln(os.Stderr, strings.Repeat("x", 1000))
		fmt.Fprintln(os.Stderr, strings.Repeat("y", 1<<20)) // More than a pipe holds, and than is read of a line.
		return errors.New("failed")
	})
	if len(said) != 2 || said[0] != "one" || err == nil || err.Error() != "failed" {
		t.Errorf("said %q, %v", said, err)
	}
	defer func() {
		if r := recover(); r != "gokrazy" {
			t.Errorf("recovered %v", r)
		}
	}()
	_, _ = quietly(func() error { panic("gokrazy") }) // It does not return.
}

func TestLaunchCommand(t *testing.T) {
	c, err := command1("mx")
	if err != nil {
		t.Fatal(err)
	}
	if c.Path != "/user/mx" || c.Sys.Credential.Uid != 1005 || c.Sys.Credential.Gid != 1005 || c.Always || c.Sys.AmbientCaps != nil {
		t.Errorf("mx is started by %+v", c)
	}
	for _, v := range c.Env {
		if !strings.Contains(v, "=/perm/state/mx") {
			t.Errorf("its environment has %s", v)
		}
	}
	agent, err := command1(agentName)
	if err != nil || agent.Path != "/user/agent" || agent.Sys.Credential != nil || !agent.Always {
		t.Errorf("the agent is started by %+v, %v", agent, err)
	}
	if _, err := command1("sh"); err == nil {
		t.Error("anything is started")
	}
	if got := arguments(append([]string{c.Path}, launchArguments(node.Launch{Memory: 7, Ports: []uint16{25, 26}, Net: true})...)); strings.Join(got, " ") !=
		"run mx --confine --memory=7 --net --port=25 --port=26" {
		t.Errorf("its arguments are %v", got)
	}
}

func TestReadLaunch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "launch.json")
	if l, err := readLaunch(path); err != nil || l.Memory != 0 || l.Ports != nil {
		t.Errorf("without a file: %+v, %v", l, err)
	}
	for text, ok := range map[string]bool{`{"memory":5,"ports":[25]}`: true, `{"ports":[70000]}`: false, `{`: false} {
		check(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := readLaunch(path); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
