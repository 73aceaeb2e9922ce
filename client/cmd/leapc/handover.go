package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// keptEnv names, to the program that takes the place of a daemon, the file descriptor
// of a socket that holds what the account is opened with again. The secret itself is in
// the kernel's memory meanwhile: in no file, argument or variable. It is a socket, since
// another process of the user could open a pipe in /proc/PID/fd (proc(5)), also where it
// may not read the daemon's memory.
const keptEnv = "LEAPC_KEPT_FD"

// handOver puts a secret into a socket that the next program of this process inherits,
// and returns the environment that tells it so. Without a secret there is nothing to tell.
func handOver(secret []byte, env []string) ([]string, error) {
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, keptEnv+"=") })
	if len(secret) == 0 {
		return env, nil
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0) // It stays open over exec.
	if err != nil {
		return env, fmt.Errorf("handing the account over: %w", err)
	}
	n, err := syscall.Write(fds[1], secret)
	err = errors.Join(err, syscall.Close(fds[1]))
	if err != nil || n != len(secret) {
		return env, errors.Join(fmt.Errorf("handing the account over: %d bytes written: %w", n, err), syscall.Close(fds[0]))
	}
	return append(env, keptEnv+"="+strconv.Itoa(fds[0])), nil
}

// takeOver returns the secret that the program before this one in this process handed
// over, once. Nil: none did.
func takeOver() ([]byte, error) {
	text, there := os.LookupEnv(keptEnv)
	if !there {
		return nil, nil
	}
	if err := os.Unsetenv(keptEnv); err != nil { // What this process starts is not to see it.
		return nil, err
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd <= 2 {
		return nil, fmt.Errorf("%s is %q, and no descriptor of a socket: no daemon set it", keptEnv, text)
	}
	var stat syscall.Stat_t
	if err := syscall.Fstat(fd, &stat); err != nil || stat.Mode&syscall.S_IFMT != syscall.S_IFSOCK {
		return nil, errors.Join(fmt.Errorf("%s: descriptor %d is no socket: no daemon set it", keptEnv, fd), err)
	}
	secret := make([]byte, 4096)
	n, err := syscall.Read(fd, secret) // It does not block: all that comes is there.
	err = errors.Join(err, syscall.Close(fd))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keptEnv, err)
	}
	return secret[:n], nil
}
