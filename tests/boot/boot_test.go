// Package boot starts the init of a node in QEMU with the disks of a node and
// with what may be wrong with them. What init says on the console tells the
// story. It runs with -qemu.
package boot

import (
	"bytes"
	"crypto/rand"
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"leap.example/appliance/gpt"
)

var qemu = flag.Bool("qemu", false, "boot machines")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// overwrite writes into a partition of a node's disk and returns the old content.
func overwrite(t *testing.T, path string, number int, data []byte) (old []byte) {
	t.Helper()
	table, err := gpt.Layout(gpt.LeastDisk)
	check(t, err)
	at := table.Partitions[number-1].Start()
	disk, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	defer disk.Close()
	old = make([]byte, len(data))
	_, err = disk.ReadAt(old, at)
	check(t, err)
	_, err = disk.WriteAt(data, at)
	check(t, err)
	return old
}

func TestBoot(t *testing.T) {
	if !*qemu {
		t.Skip("machines are booted with -qemu only")
	}
	l := newLab(t)
	disk, one, two := l.disk(t, "disk"), l.identity(t, "one", false), l.identity(t, "two", true)
	other := l.disk(t, "other")

	t.Run("first", func(t *testing.T) {
		r := l.on(t, "first", disk, one)
		r.says(t, "perm is formatted and mounted (/dev/vda", "this is one of example.org, agent on port 8443, key SHA256:", "up after")
		r.silent(t, "TROUBLE")
		check(t, r.PowerCut(t.Context()))
	})
	t.Run("after a power cut", func(t *testing.T) {
		r := l.on(t, "again", disk)
		r.says(t, "perm is mounted", "this is one of example.org", "up after")
		r.silent(t, "TROUBLE")
		check(t, r.PowerButton(t.Context()))
		exit, err := r.Wait(t.Context())
		if err != nil || exit.Reason != "guest-shutdown" {
			t.Errorf("after the power button: %v, %v", exit, err)
		}
		r.says(t, "powering off", "down")
	})
	t.Run("no identity", func(t *testing.T) {
		l.on(t, "nobody", other).says(t, "perm is formatted and mounted", "WAITING this node has no identity")
	})
	t.Run("two disks", func(t *testing.T) {
		l.on(t, "disks", disk, other, one).says(t, "TROUBLE finding the disk: more than one disk", "this is one of example.org", "up after")
	})
	t.Run("damaged perm", func(t *testing.T) {
		garbage := make([]byte, 1<<20)
		rand.Read(garbage)
		good := overwrite(t, disk, gpt.Perm, garbage)
		r := l.on(t, "perm", disk, one)
		r.says(t, "TROUBLE opening perm: perm is neither blank nor ours", "this is one of example.org", "up after")
		check(t, r.PowerCut(t.Context()))
		if now := overwrite(t, disk, gpt.Perm, good); !bytes.Equal(now, garbage) {
			t.Error("perm was written to")
		}
	})
	t.Run("damaged perm, reinstalled", func(t *testing.T) {
		garbage := make([]byte, 1<<20)
		rand.Read(garbage)
		overwrite(t, other, gpt.Perm, garbage)
		r := l.on(t, "anew", other, two)
		r.says(t, "TROUBLE opening perm: perm is neither blank nor ours", "REINSTALLING", "perm is formatted and mounted", "this is two of example.org", "restarting with the new perm")
		// The lab ends a machine that restarts.
		if exit, err := r.Wait(t.Context()); err != nil || exit.Reason != "guest-reset" {
			t.Errorf("after reinstalling: %v, %v", exit, err)
		}
		r = l.on(t, "anew2", other, two)
		r.says(t, "perm is mounted", "this is two of example.org", "up after")
		r.silent(t, "TROUBLE")
		r.silent(t, "REINSTALLING")
		check(t, r.PowerCut(t.Context()))
	})
	t.Run("damaged boot partition", func(t *testing.T) {
		good := overwrite(t, disk, gpt.ESP, make([]byte, 1<<20))
		r := l.on(t, "esp", disk)
		r.says(t, "TROUBLE checking the boot partition", "perm is mounted", "this is one of example.org", "up after")
		check(t, r.PowerCut(t.Context()))
		overwrite(t, disk, gpt.ESP, good)
	})
	t.Run("reinstalled", func(t *testing.T) {
		r := l.on(t, "reinstalled", disk, two)
		r.says(t, "perm is mounted", "REINSTALLING", "perm is formatted and mounted", "this is two of example.org", "up after")
		check(t, r.PowerCut(t.Context()))
	})
	t.Run("not reinstalled again", func(t *testing.T) {
		r := l.on(t, "kept", disk, two)
		r.says(t, "perm is mounted", "this is two of example.org", "up after")
		r.silent(t, "REINSTALLING")
	})
}
