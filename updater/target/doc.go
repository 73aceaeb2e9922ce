// Package target says what an update is: which release, for which machines, and
// what a machine must have to take it. A [Description] is the custom part of a
// target of The Update Framework: whoever vouches for the bytes vouches for it.
//
// A target's path says the same, so that a delegation can be limited to a
// variant and a person can read a listing:
//
//	client/OS-ARCH/VERSION/leapc     client/linux-amd64/1.4.0/leapc
//	node/ARCH/VERSION/leap.efi       node/amd64/1.4.0/leap.efi
//
// Both must agree ([Description.Matches]); the program itself says its version
// once more, and its user compares that.
//
// A [Plan] is a target too. It says whose turn is when, and names no bytes: a
// machine knows its place in the waves of a release by itself ([Position]).
//
// The package is pure: it knows bytes and numbers, no disk, network or clock.
// What it reads comes from signed metadata, and is checked all the same.
package target
