//go:build !amd64

package vm

// clockArg is empty: the emulator does not show guests the counter of this
// machine.
func clockArg() string { return "" }
