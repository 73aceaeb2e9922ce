package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// ErrMissing means that a program or file of a Debian package is not there. The
// error names the package. Tests skip then.
var ErrMissing = errors.New("not installed")

// The accelerators.
const (
	KVM = "kvm"
	TCG = "tcg"
)

const (
	// maxStarts is how many machines start at the same time: with more, they
	// take each other's time until their kernels' own time-outs fail.
	maxStarts = 3
	// trialPatience is how long a trial on KVM may take; it needs about a second.
	trialPatience = 15 * time.Second
)

// Options say how machines are run. The zero value is right for a lab without
// KVM.
type Options struct {
	// Program is QEMU. Empty means qemu-system-x86_64 in PATH.
	Program string
	// Firmware is the directory of OVMF's files. Empty means where Debian has
	// them.
	Firmware string
	// Kernel is the kernel of the trial guest. Without one, KVM is not tried.
	Kernel string
	// Accel, KVM or TCG, decides without a trial.
	Accel string
}

// A Hypervisor starts machines. A process has one, so that its machines do not
// all start at once, and KVM is tried once. Its methods may be called from any
// goroutine.
type Hypervisor struct {
	program  string
	firmware string
	accel    string
	why      string
	starts   chan struct{}
}

// Open finds QEMU and chooses the accelerator. The error wraps [ErrMissing] if
// QEMU is not installed.
func Open(ctx context.Context, o Options) (*Hypervisor, error) {
	program, err := exec.LookPath(cmp.Or(o.Program, "qemu-system-x86_64"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w: install the Debian package qemu-system-x86", ErrMissing, err)
	}
	h := &Hypervisor{
		program: program, firmware: cmp.Or(o.Firmware, "/usr/share/OVMF"),
		accel: o.Accel, why: "chosen", starts: make(chan struct{}, maxStarts),
	}
	switch o.Accel {
	case KVM, TCG:
	case "":
		h.accel, h.why = KVM, "a trial guest ran"
		if err := h.try(ctx, o.Kernel); err != nil {
			h.accel, h.why = TCG, "KVM: "+err.Error()
		}
	default:
		return nil, fmt.Errorf("no accelerator is called %q", o.Accel)
	}
	return h, ctx.Err()
}

// Accel returns the accelerator in use, and why it is that one.
func (h *Hypervisor) Accel() (name, why string) { return h.accel, h.why }

// try runs a guest on KVM that powers itself off.
func (h *Hypervisor) try(ctx context.Context, kernel string) error {
	if kernel == "" {
		return errors.New("not tried without a kernel")
	}
	device, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := device.Close(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, trialPatience)
	defer cancel()
	dir, err := os.MkdirTemp("", "kvm")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // Nothing of worth is in it.
	initrd := filepath.Join(dir, "initrd")
	if err := os.WriteFile(initrd, Initramfs(powerOff), 0o600); err != nil {
		return err
	}
	m, err := h.Start(ctx, Config{Name: "trial", Kernel: kernel, Initrd: initrd, Append: "console=ttyS0 quiet panic=1"})
	if err != nil {
		return err
	}
	exit, err := m.Wait(ctx)
	if err != nil {
		exit.Reason = fmt.Sprintf("nothing for %v", trialPatience)
	}
	if err := m.Close(); err != nil {
		return err
	}
	if exit.Reason != "guest-shutdown" {
		return fmt.Errorf("the trial guest did not power itself off, but %s", exit)
	}
	return nil
}

// need returns a firmware file's path.
func (h *Hypervisor) need(name string) (string, error) {
	path := filepath.Join(h.firmware, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: %w: install the Debian package ovmf", ErrMissing, err)
	}
	return path, nil
}
