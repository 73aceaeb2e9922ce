package vm_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/qemu/vm"
)

func TestArguments(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	kernel, initrd, disk, socket := file("vmlinuz"), file("initrd"), file("a,b.img"), file("sock")
	for _, name := range []string{"OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", "OVMF_CODE_4M.secboot.fd"} {
		file(name)
	}
	vars := filepath.Join(dir, "vars")
	t.Setenv(as, "good")
	h, err := vm.Open(t.Context(), vm.Options{Program: os.Args[0], Accel: vm.KVM, Firmware: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		config vm.Config
		want   []string
		not    []string
	}{
		{"direct", vm.Config{
			Kernel: kernel, Initrd: initrd, Append: "panic=10 quiet",
			Drives: []vm.Drive{{Path: disk, Volatile: true}, {Path: disk, ReadOnly: true, Snapshot: true}},
			NICs:   []vm.NIC{{Socket: socket, MAC: net.HardwareAddr{0x52, 0x54, 0, 0x77, 0, 1}}},
			Clock:  time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC),
		}, []string{
			" -accel kvm -cpu max -M pc -m 256 ", " -no-reboot ", " -append panic=10 quiet ", " -initrd " + initrd,
			"file=" + dir + "/a,,b.img,cache=unsafe ", "file=" + dir + "/a,,b.img,readonly=on,snapshot=on ",
			" -rtc base=2036-01-02T03:04:05 ", "stream,id=net0,server=off,addr.type=unix,addr.path=" + socket + " ",
			"virtio-net-pci,netdev=net0,mac=52:54:00:77:00:01",
		}, []string{"pflash"}},
		{"uefi", vm.Config{UEFI: &vm.UEFI{Vars: vars}, Reboots: true}, []string{
			" -M q35 -m 512 ", "readonly=on,file=" + dir + "/OVMF_CODE_4M.fd ", "format=raw,file=" + vars,
		}, []string{"-no-reboot", "secure", "-kernel", "-rtc"}},
		{"secure", vm.Config{UEFI: &vm.UEFI{Vars: vars, Trust: []byte("a certificate")}, Memory: 700}, []string{
			" -M q35,smm=on -m 700 ", "/OVMF_CODE_4M.secboot.fd ", "driver=cfi.pflash01,property=secure,value=on",
		}, nil},
	} {
		c.config.Name = c.name
		m := start(t, h, c.config)
		if err := m.Save(dir); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, c.name+".qemu.txt"))
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(b), "\n")
		for _, want := range c.want {
			if !strings.Contains(line+" ", want) {
				t.Errorf("%s: no %q in %s", c.name, want, line)
			}
		}
		for _, not := range c.not {
			if strings.Contains(line, not) {
				t.Errorf("%s: %q in %s", c.name, not, line)
			}
		}
	}
	// The variables are those of the first start.
	if b, err := os.ReadFile(vars); err != nil || string(b) != "OVMF_VARS_4M.fd" {
		t.Errorf("variables of the firmware: %q, %v", b, err)
	}
}

func TestBadConfigs(t *testing.T) {
	h, kernel := hypervisor(t, "good"), os.Args[0]
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for what, c := range map[string]vm.Config{
		"no name":             {Kernel: kernel},
		"a bad name":          {Name: "../a", Kernel: kernel},
		"no boot":             {Name: "a"},
		"two boots":           {Name: "a", Kernel: kernel, UEFI: &vm.UEFI{Vars: "x"}},
		"no variables":        {Name: "a", UEFI: &vm.UEFI{}},
		"no kernel there":     {Name: "a", Kernel: "/no/kernel"},
		"negative memory":     {Name: "a", Kernel: kernel, Memory: -1},
		"a nameless drive":    {Name: "a", Kernel: kernel, Drives: []vm.Drive{{}}},
		"no drive there":      {Name: "a", Kernel: kernel, Drives: []vm.Drive{{Path: "/no/drive"}}},
		"no socket there":     {Name: "a", Kernel: kernel, NICs: []vm.NIC{{Socket: "/no/socket", MAC: mac}}},
		"a group as MAC":      {Name: "a", Kernel: kernel, NICs: []vm.NIC{{Socket: kernel, MAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}}}},
		"no variables' place": {Name: "a", UEFI: &vm.UEFI{Vars: "/no/place/vars"}},
	} {
		if m, err := h.Start(t.Context(), c); err == nil {
			t.Errorf("%s: started", what)
			_ = m.Close()
		}
	}
}

func TestMissing(t *testing.T) {
	_, err := vm.Open(t.Context(), vm.Options{Program: "/no/qemu"})
	if !errors.Is(err, vm.ErrMissing) || !strings.Contains(err.Error(), "qemu-system-x86") {
		t.Errorf("no QEMU: %v", err)
	}
	if _, err := vm.Open(t.Context(), vm.Options{Program: os.Args[0], Accel: "magic"}); err == nil {
		t.Error("an accelerator that is none")
	}
	t.Setenv(as, "good")
	h, err := vm.Open(t.Context(), vm.Options{Program: os.Args[0], Firmware: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if accel, why := h.Accel(); accel != vm.TCG || !strings.Contains(why, "without a kernel") {
		t.Errorf("accelerator %s, because %s", accel, why)
	}
	_, err = h.Start(t.Context(), vm.Config{Name: "a", UEFI: &vm.UEFI{Vars: filepath.Join(t.TempDir(), "vars")}})
	if !errors.Is(err, vm.ErrMissing) || !strings.Contains(err.Error(), "ovmf") {
		t.Errorf("no firmware: %v", err)
	}
}

// TestTrial has a trial guest that does not run.
func TestTrial(t *testing.T) {
	t.Setenv(as, "broken")
	h, err := vm.Open(t.Context(), vm.Options{Program: os.Args[0], Kernel: os.Args[0]})
	if err != nil {
		t.Fatal(err)
	}
	if accel, why := h.Accel(); accel != vm.TCG || !strings.HasPrefix(why, "KVM: ") {
		t.Errorf("accelerator %s, because %s", accel, why)
	}
}
