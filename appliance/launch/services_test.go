//go:build linux

package launch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/launch"
	"leap.example/appliance/node"
)

// secrets are files of a node that no service may open.
func secrets() []string {
	return []string{
		node.KeyDir + "/mesh.key", node.Generations + "/1/document.json", node.Generations + "/current", node.LogDir + "/agent.log",
		node.Perm + "/identity/identity.json", node.IdentityFile, node.BootFile, node.ControlSocket, "/leapd",
	}
}

// filesOf are files of a service: those that it may read, and those that it may
// write, too.
func filesOf(service string) (read, write []string) {
	return []string{node.ConfigPath(service), node.FilePath(service, "f"), node.SecretPath(service, "f"), node.LaunchPath(service)},
		[]string{node.StateDir(service) + "/f", node.MemoryDir(service) + "/f", path.Dir(node.HealthPath(service)) + "/f"}
}

// asService is the confined process: it says which of some files below a root it
// can read, and which it can write. It enters the root by itself, since the
// program may need libraries to start, with /proc, which it may need to confine
// itself.
func asService(root, name, list string) int {
	id, _ := node.ID(name)
	proc := filepath.Join(root, "proc")
	err := errors.Join(os.MkdirAll(proc, 0o755), unix.Mount("/proc", proc, "", unix.MS_BIND|unix.MS_REC, ""), syscall.Chroot(root), os.Chdir("/"), syscall.Setgroups(nil), syscall.Setgid(id), syscall.Setuid(id))
	if err == nil {
		err = launch.Confine(launch.ForService(name, node.Launch{Net: name == "gateway"}))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var paths, read, written []string
	if err := json.Unmarshal([]byte(list), &paths); err != nil {
		fmt.Println(err)
		return 1
	}
	for _, p := range paths {
		if _, err := os.ReadFile(p); err == nil {
			read = append(read, p)
		}
		if f, err := os.OpenFile(p, os.O_WRONLY, 0); err == nil {
			f.Close()
			written = append(written, p)
		}
		if _, err := os.ReadDir(filepath.Dir(p)); err == nil && !slices.Contains(read, p) {
			read = append(read, "the directory of "+p)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string][]string{"read": read, "written": written}); err != nil {
		return 1
	}
	return 0
}

// TestServices has every service that there is try the files of all others and
// of the node, at the places and as the user that it has on a node. Modes let
// everyone do everything, so that only the confinement keeps a file from it.
func TestServices(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("becoming another user in another root needs root")
	}
	root := t.TempDir()
	all := secrets()
	for _, name := range node.Services() {
		read, write := filesOf(name)
		all = append(append(all, read...), write...)
	}
	for _, p := range append(slices.Clone(all), "/etc/f", "/tmp/f", "/dev/null") {
		at := filepath.Join(root, p)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte("x"), 0o600), os.Chmod(at, 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range node.Services() {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0], "service", root, name, string(list))
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
			cmd.Stderr = t.Output()
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var got struct{ Read, Written []string }
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			read, write := filesOf(name)
			if want := append(read, write...); !slices.Equal(got.Read, want) {
				t.Errorf("it reads\n%s\nand may read\n%s", strings.Join(got.Read, "\n"), strings.Join(want, "\n"))
			}
			if !slices.Equal(got.Written, write) {
				t.Errorf("it writes\n%s\nand may write\n%s", strings.Join(got.Written, "\n"), strings.Join(write, "\n"))
			}
		})
	}
}
