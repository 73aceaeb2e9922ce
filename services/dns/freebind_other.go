//go:build !linux

package dns

import "syscall"

// freebind does nothing here: addresses must be there first.
func freebind(string, string, syscall.RawConn) error { return nil }
