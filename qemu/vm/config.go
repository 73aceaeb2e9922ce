package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Config is a machine.
type Config struct {
	// Name stands in messages and in the names of artefacts. Required; lower-case
	// letters, digits and "-".
	Name string
	// Memory is in MiB. 0 means 256; UEFI needs 512.
	Memory int

	// Kernel, Initrd and Append boot the machine directly. Either Kernel or UEFI
	// is required.
	Kernel, Initrd, Append string
	// UEFI boots it by firmware, from its disks.
	UEFI *UEFI

	Drives []Drive
	NICs   []NIC

	// Serial is the file that gets what the machine writes to its first serial
	// port, up to 8 MiB. Empty means that it is kept in memory only.
	Serial string
	// Reboots lets the machine start again when the guest resets it. Otherwise
	// it ends then, so that a panic ends it, too.
	Reboots bool
	// Clock is what its clock shows at the start. The zero time means now.
	Clock time.Time
	// Ready, if it is not nil, returns when the guest has started, and tells
	// whether. Until then the machine counts as one that is starting.
	Ready func(context.Context, *Machine) error
}

// UEFI is a machine's firmware.
type UEFI struct {
	// Vars is the file of its variables. It is made, from the template of the
	// firmware, if it does not exist.
	Vars string
	// Trust is a certificate, DER: the firmware starts only what its key has
	// signed (Secure Boot). Nil: whatever there is.
	Trust []byte
}

// A Drive is a virtio disk, from a raw image.
type Drive struct {
	Path     string
	ReadOnly bool
	// Snapshot keeps what the guest writes apart, until the machine ends.
	Snapshot bool
	// Volatile answers the guest's flushes at once, without the disk of this
	// machine: faster, and the image is lost with the power of this machine. It
	// makes no difference to a power cut of the guest.
	Volatile bool
}

// A NIC is a virtio network card.
type NIC struct {
	Socket string // The unix socket of a switch, which listens there already.
	MAC    net.HardwareAddr
}

var machineName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// validate finds what QEMU would reject less clearly.
func (c *Config) validate() error {
	files := []string{c.Kernel, c.Initrd}
	for _, d := range c.Drives {
		if d.Path == "" {
			return errors.New("a drive has no path")
		}
		files = append(files, d.Path)
	}
	switch {
	case !machineName.MatchString(c.Name):
		return fmt.Errorf("%q is no name of a machine", c.Name)
	case c.Memory < 0:
		return fmt.Errorf("%d MiB of memory", c.Memory)
	case (c.Kernel == "") == (c.UEFI == nil):
		return errors.New("either a kernel or UEFI boots a machine")
	case c.UEFI != nil && (c.UEFI.Vars == "" || c.Initrd != "" || c.Append != ""):
		return errors.New("UEFI needs a file for its variables, and neither initramfs nor command line")
	}
	for _, n := range c.NICs {
		if len(n.MAC) != 6 || n.MAC[0]&1 != 0 {
			return fmt.Errorf("%q is no address of a network card", n.MAC)
		}
		files = append(files, n.Socket)
	}
	for _, path := range files {
		if _, err := os.Stat(path); path != "" && err != nil {
			return err
		}
	}
	return nil
}

// args returns the arguments of QEMU, whose descriptor 3 is the control socket.
func (h *Hypervisor) args(c *Config) ([]string, error) {
	accel, board, memory := h.accel, "pc", cmp.Or(c.Memory, 256)
	if accel == TCG {
		accel += ",tb-size=" + strconv.Itoa(tbSize)
	}
	if c.UEFI != nil {
		board, memory = "q35", cmp.Or(c.Memory, 512)
		if c.UEFI.Trust != nil {
			board += ",smm=on"
		}
	}
	args := []string{
		"-name", c.Name, "-accel", accel, "-cpu", "max", "-M", board, "-m", strconv.Itoa(memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control",
	}
	if !c.Reboots {
		args = append(args, "-no-reboot")
	}
	if !c.Clock.IsZero() {
		args = append(args, "-rtc", "base="+c.Clock.UTC().Format("2006-01-02T15:04:05"))
	}
	if c.Kernel != "" {
		line := c.Append
		if h.accel == TCG {
			line = strings.TrimSpace(line + " " + clockArg())
		}
		args = append(args, "-kernel", c.Kernel, "-append", line)
	}
	if c.Initrd != "" {
		args = append(args, "-initrd", c.Initrd)
	}
	if c.UEFI != nil {
		firmware, err := h.uefi(c.UEFI)
		if err != nil {
			return nil, err
		}
		args = append(args, firmware...)
	}
	for _, d := range c.Drives {
		args = append(args, "-drive", d.arg())
	}
	for i, n := range c.NICs {
		id := fmt.Sprintf("net%d", i)
		args = append(args, "-netdev", "stream,id="+id+",server=off,addr.type=unix,addr.path="+escape(n.Socket),
			"-device", "virtio-net-pci,netdev="+id+",mac="+n.MAC.String())
	}
	return args, nil
}

// tbSize is how much memory TCG has for translated code, in MiB; when it is full,
// TCG begins anew. QEMU's default is a share of this machine's memory. A guest
// that has just started has filled about 50 of it.
const tbSize = 128

func (d *Drive) arg() string {
	s := "format=raw,if=virtio,file=" + escape(d.Path)
	if d.ReadOnly {
		s += ",readonly=on"
	}
	if d.Snapshot {
		s += ",snapshot=on"
	}
	if d.Volatile {
		s += ",cache=unsafe"
	}
	return s
}

// escape protects commas in QEMU's lists of options.
func escape(path string) string { return strings.ReplaceAll(path, ",", ",,") }

// uefi returns the arguments for the firmware, and makes its variables.
func (h *Hypervisor) uefi(u *UEFI) ([]string, error) {
	codeName := "OVMF_CODE_4M.fd"
	if u.Trust != nil {
		codeName = "OVMF_CODE_4M.secboot.fd"
	}
	code, err := h.need(codeName)
	if err != nil {
		return nil, err
	}
	template, err := h.need("OVMF_VARS_4M.fd")
	if err != nil {
		return nil, err
	}
	if err := u.makeVars(template); err != nil {
		return nil, fmt.Errorf("variables of the firmware: %w", err)
	}
	args := []string{
		"-drive", "if=pflash,format=raw,readonly=on,file=" + escape(code),
		"-drive", "if=pflash,format=raw,file=" + escape(u.Vars),
	}
	if u.Trust != nil {
		// Only the firmware itself, in system management mode, writes variables.
		args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on")
	}
	return args, nil
}

// makeVars makes the file of variables from a template unless there is one.
func (u *UEFI) makeVars(template string) error {
	if _, err := os.Stat(u.Vars); err == nil {
		return nil
	}
	vars, err := os.ReadFile(template)
	if err == nil && u.Trust != nil {
		vars, err = enrol(vars, u.Trust)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(u.Vars, vars, 0o600)
}
