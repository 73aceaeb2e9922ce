package uki

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"leap.example/appliance/gpt"

	// The kernel is no code, but go.mod and go.sum pin it as if it were.
	_ "github.com/gokrazy/kernel.amd64"
)

const (
	kernelModule   = "github.com/gokrazy/kernel.amd64"
	debianFirmware = "/usr/lib/systemd/boot/efi"
)

// A pin is a version of a foreign file that was tried.
type pin struct{ version, sha256 string }

// Versions of Debian's package systemd-boot-efi that were booted under OVMF.
// Another stub makes another release of the same source, so a release is built
// with the newest of these and rebuilt with the one that its bill of materials
// names.
var (
	stubs = []pin{
		{"252.39-1~deb12u2", "c62ae56ffaf49d1a61de4434f4f531dd1d4ed3b5aee46c934c56e3f809b22cc4"},
	}
	bootLoaders = []pin{
		{"252.39-1~deb12u2", "10288fece5e90ce3ba3e7160f49695b022d648f7ef41774678db8c77774db167"},
	}
)

// Cmdline is the command line of the kernel, signed with the release.
//
//   - panic, oops: a kernel that fails starts anew, so that failed starts are
//     counted; this kernel's own default is to hang for ever.
//   - no_timer_check: emulators that get too little time fail the check.
//   - init_on_alloc, slab_nomerge, pti, proc_mem.force_override: hardening.
//   - root: not mounted by the kernel, since there is an /init; it tells init
//     on which disk the system partition is.
const Cmdline = "console=ttyS0 quiet panic=10 oops=panic no_timer_check init_on_alloc=1 slab_nomerge pti=on " +
	"proc_mem.force_override=never root=PARTUUID=" + string(gpt.ESPID) + "/PARTNROFF=1"

func versions(pins []pin) string {
	var out []string
	for _, p := range pins {
		out = append(out, p.version)
	}
	return strings.Join(out, " or ")
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
