package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"leap.example/appliance/node"
	"leap.example/appliance/supervise"
)

// command1 is how PID 1 starts a service: as its own user, with nothing but
// what its launch file gives it. The agent runs as root and always.
func command1(service string) (supervise.Command, error) {
	c := supervise.Command{Path: "/user/" + service, Dir: "/", Env: []string{}}
	if service == agentName {
		c.Args, c.Always = []string{c.Path}, true
		return c, nil
	}
	id, ok := node.ID(service)
	if !ok {
		return c, errors.New("this release has no such service")
	}
	l, err := readLaunch(node.LaunchPath(service))
	if err != nil {
		return c, err
	}
	c.Args = append([]string{c.Path}, launchArguments(l)...)
	state := node.StateDir(service)
	c.Env = []string{"HOME=" + state, "TMPDIR=" + state}
	c.Sys = syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}}
	if l.Net {
		c.Sys.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN}
	}
	return c, nil
}

// readLaunch reads a launch file; without one a service has what every one has.
func readLaunch(path string) (l node.Launch, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	if err != nil {
		return l, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// launchArguments are those of "leapd run" that say the same as l.
func launchArguments(l node.Launch) []string {
	args := []string{"--confine", "--memory=" + strconv.FormatInt(l.Memory, 10)}
	if l.Net {
		args = append(args, "--net")
	}
	for _, port := range l.Ports {
		args = append(args, "--port="+strconv.Itoa(int(port)))
	}
	return args
}

// An input event (linux/input.h).
type inputEvent struct {
	_          [16]byte // When.
	Kind, Code uint16
	Value      int32
}

const (
	kindKey  = 1
	keyPower = 116
)

// watchPower calls pressed when the power button of the machine is pressed.
func watchPower(pressed func()) {
	devices, err := filepath.Glob(inputs + "/event*")
	if err != nil {
		return
	}
	for _, path := range devices {
		go func() {
			f, err := os.Open(path)
			if err != nil {
				return
			}
			defer f.Close()
			var e inputEvent
			for binary.Read(f, binary.NativeEndian, &e) == nil {
				if e.Kind == kindKey && e.Code == keyPower && e.Value == 1 {
					pressed()
				}
			}
		}()
	}
}
