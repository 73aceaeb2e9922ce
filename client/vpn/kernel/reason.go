package kernel

import (
	"errors"
	"net"
	"syscall"
)

// reason is why a socket failed, without the addresses that package net writes
// into its errors.
func reason(err error) error {
	var dns net.Error
	var number syscall.Errno
	switch {
	case errors.As(err, &number):
		return number
	case errors.As(err, &dns) && dns.Timeout():
		return errors.New("no answer in time")
	}
	return errors.New("no connection")
}
