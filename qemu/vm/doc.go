// Package vm runs one virtual machine of the lab as a value: QEMU as a child
// process, its console, and its power.
//
// A [Hypervisor] knows the program, whether KVM can be used, and how many
// machines may start at the same time. [Hypervisor.Start] starts a [Machine]:
// booted directly from a kernel and an initramfs, or by UEFI firmware from its
// disks. Its network cards are plugged into unix sockets, on which package vnet
// or another switch listens before.
//
// A machine needs no root. It lives until it powers itself off, loses its power
// ([Machine.PowerCut]) or is closed; it never outlives this process, however that
// ends. What guests write is not trusted: consoles are kept up to a bound.
//
// KVM is used only after a trial guest has run on it: where machines are nested,
// /dev/kvm may exist and not work. Otherwise QEMU translates code (TCG), about
// ten times slower; then everything takes long and times vary, so tests wait for
// states and never for times.
package vm
