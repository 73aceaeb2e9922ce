package leaks_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
)

// roles are what this program does in the processes that the tests start.
var roles = map[string]func() error{"gateway": gatewayRole, "leasing": leasingRole, "daemon": daemonRole, "resolve": resolveRole}

func TestMain(m *testing.M) {
	if role := roles[os.Getenv("LEAKS_ROLE")]; role != nil {
		if err := role(); err != nil {
			fmt.Fprintln(os.Stderr, os.Getenv("LEAKS_ROLE")+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Geteuid() != 0 {
		fmt.Println("leaks: SKIPPED IN PART: not root. What needs several users is not tried, or nothing is where there are no user namespaces")
	}
	dir, err := os.MkdirTemp("", "leaks")
	if err != nil {
		fmt.Fprintln(os.Stderr, "leaks:", err)
		os.Exit(1)
	}
	programs = dir
	code := nettest.Main(m)
	os.RemoveAll(dir)
	os.Exit(code)
}

// programs is the directory of what is built.
var programs string

// ownEtc gives this process's namespace of mounts an /etc of its own: the C
// library knows no other place for resolv.conf.
func ownEtc() error {
	if err := unix.Mount("leaks", "/etc", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mounting /etc: %w", err)
	}
	for name, text := range map[string]string{
		"nsswitch.conf": "hosts: files dns\npasswd: files\ngroup: files\n",
		"hosts":         "127.0.0.1 localhost\n",
		"passwd":        "root:x:0:0:root:/root:/bin/sh\n",
		"group":         "root:x:0:\n",
		"resolv.conf":   "nameserver " + router + "\noptions timeout:1 attempts:1\n",
	} {
		if err := os.WriteFile("/etc/"+name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
