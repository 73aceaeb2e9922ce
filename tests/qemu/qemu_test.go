package qemu

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/qemu/vm"
	"leap.example/qemu/vnet"
)

// TestLAN boots three machines and lets them and this process talk.
func TestLAN(t *testing.T) {
	l := newLab(t, 3)
	h, err := hypervisor()
	if err != nil {
		t.Fatal(err)
	}
	accel, why := h.Accel()
	t.Logf("%s (%s)", accel, strings.TrimSpace(why))
	l.mustStart(l.nodes...)
	for _, n := range l.nodes {
		for _, host := range []string{n.v4.String(), n.v6.String(), n.config.Name + ".lab"} {
			up, err := n.get(host, "/uptime")
			if err != nil {
				t.Fatalf("%s: %v", host, err)
			}
			t.Logf("%s: up for %s", host, up)
		}
	}
	for _, n := range l.nodes {
		t.Logf("%s: %s", n.config.Name, usage(t, n.machine.PID()))
	}
	one, two := l.nodes[0], l.nodes[1]
	between := func(to string, within time.Duration) error {
		_, err := one.get(one.v4.String(), fmt.Sprintf("/fetch?within=%v&url=%s", within, url.QueryEscape("http://"+to+"/uptime")))
		return err
	}
	const long = 20 * time.Second
	for _, to := range []string{two.v4.String(), "[" + two.v6.String() + "]", "n2.lab"} {
		if err := between(to, long); err != nil {
			t.Errorf("from n1 to %s: %v", to, err)
		}
	}

	// A process of this machine that is not on the LAN.
	f, err := l.self.Forward("tcp", "127.0.0.1:0", "n2.lab:80")
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	if _, err := answered(client.Get(fmt.Sprintf("http://%v/uptime", f.Addr()))); err != nil {
		t.Errorf("through a forward: %v", err)
	}

	// A slow link, a partition.
	two.port.SetLink(vnet.Link{Delay: 100 * time.Millisecond})
	start := time.Now()
	if err := between(two.v4.String(), long); err != nil {
		t.Errorf("over a slow link: %v", err)
	}
	if took := time.Since(start); took < 200*time.Millisecond { // The connection may be there already.
		t.Errorf("a round trip over a link of 100 ms took %v", took)
	}
	two.port.SetLink(vnet.Link{})
	l.lan.Cut(one.port, two.port)
	if err := between(two.v4.String(), time.Second); err == nil {
		t.Error("n1 reaches n2 across a cut")
	}
	if _, err := two.get("n2.lab", "/uptime"); err != nil {
		t.Errorf("n2 is cut off from n1 only: %v", err)
	}
	l.lan.Heal()
	if err := until(t.Context(), "healed", func() error { return between(two.v4.String(), long) }); err != nil {
		t.Error(err)
	}
}

// TestPower takes the power from a machine, freezes it, and lets it end by
// itself.
func TestPower(t *testing.T) {
	l := newLab(t, 1)
	n, ctx := l.nodes[0], t.Context()
	n.config.Clock = time.Now().AddDate(-10, 0, 0)
	l.mustStart(n)
	if clock, err := n.get("n1.lab", "/clock"); err != nil || !strings.HasPrefix(clock, n.config.Clock.UTC().Format("2006-")) {
		t.Errorf("the clock of ten years ago: %s, %v", clock, err)
	}
	if _, err := n.do(ctx, http.MethodPut, "n1.lab", "/disk", "durable"); err != nil {
		t.Fatal(err)
	}
	if err := n.machine.Freeze(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := n.machine.Status(ctx); err != nil || got != "paused" {
		t.Errorf("frozen: %s, %v", got, err)
	}
	if err := n.machine.Thaw(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := n.get("n1.lab", "/disk"); err != nil || got != "durable" {
		t.Errorf("thawed, the disk has %q, %v", got, err)
	}
	if err := n.machine.PowerCut(ctx); err != nil {
		t.Fatal(err)
	}
	n.ended("host-qmp-quit")

	// The same machine at the same port, on a disk that forgets.
	n.config.Drives = []vm.Drive{{Path: n.config.Drives[0].Path, Snapshot: true}}
	l.mustStart(n)
	if got, err := n.get("n1.lab", "/disk"); err != nil || got != "durable" {
		t.Errorf("after the power cut the disk has %q, %v", got, err)
	}
	if _, err := n.do(ctx, http.MethodPut, "n1.lab", "/disk", "forgotten"); err != nil {
		t.Fatal(err)
	}
	n.end("/panic", "guest-reset")
	if _, err := n.machine.WaitSerial(ctx, 0, "Kernel panic"); err != nil {
		t.Error(err)
	}

	n.config.Drives = []vm.Drive{{Path: n.config.Drives[0].Path, ReadOnly: true}}
	l.mustStart(n)
	if got, err := n.get("n1.lab", "/disk"); err != nil || got != "durable" {
		t.Errorf("after a machine with a snapshot the disk has %q, %v", got, err)
	}
	if _, err := n.do(ctx, http.MethodPut, "n1.lab", "/disk", "no"); err == nil {
		t.Error("a disk that is read only was written")
	}
	n.end("/off", "guest-shutdown")
}

// usage tells what a process has used so far (proc(5)).
func usage(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest) // From the third field on.
	var user, system, pages int64
	if _, err := fmt.Sscan(f[11]+" "+f[12]+" "+f[21], &user, &system, &pages); err != nil {
		t.Fatal(err)
	}
	const ticks = 100 // Of each second.
	return fmt.Sprintf("%.1f s of CPU, %d MiB resident", float64(user+system)/ticks, pages*int64(os.Getpagesize())>>20)
}

// TestFirmware starts machines without a disk by UEFI: the firmware says that it
// has nothing to boot, and keeps its variables.
func TestFirmware(t *testing.T) {
	l := newLab(t, 0)
	h, err := hypervisor()
	if err != nil {
		t.Fatal(err)
	}
	for name, trust := range map[string][]byte{"open": nil, "secure": []byte("nobody's certificate")} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			n := &node{config: vm.Config{
				Name: name, UEFI: &vm.UEFI{Vars: filepath.Join(t.TempDir(), "vars"), Trust: trust}, Reboots: true,
			}}
			start := time.Now()
			if n.machine, err = h.Start(ctx, n.config); err != nil {
				t.Fatal(err)
			}
			l.nodes = append(l.nodes, n)
			if _, err := n.machine.WaitSerial(ctx, 0, "BdsDxe"); err != nil {
				t.Fatal(err)
			}
			t.Logf("the firmware looks for something to boot after %v", time.Since(start).Round(time.Millisecond))
			if err := n.machine.Reset(ctx); err != nil {
				t.Error(err)
			}
			if got, err := n.machine.Status(ctx); err != nil || got != "running" {
				t.Errorf("after a reset: %s, %v", got, err)
			}
			if err := n.machine.PowerButton(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}
