package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	greetPatience = 30 * time.Second // For QEMU to start at all.
	quitPatience  = 5 * time.Second  // For it to end when told so.
	tailLen       = 2048             // Bytes of the console in an error.
)

// A Machine is a virtual machine that was started. Its methods may be called from
// any goroutine.
type Machine struct {
	name    string
	cmd     *exec.Cmd
	console *console
	stderr  *console
	qmp     *qmp
	reading sync.WaitGroup

	done chan struct{} // Closed when QEMU has ended.
	exit Exit          // Valid after that.
	err  error         // Of its console's file.
}

// An Exit is how a machine ended.
type Exit struct {
	// Reason is QEMU's: guest-shutdown, guest-reset (also after a panic, without
	// Config.Reboots), guest-panic, host-qmp-quit; or "" if it gave none, as when
	// it was killed.
	Reason string
	// Status is that of the process, with what it complained about; "" is success.
	Status string
}

func (e Exit) String() string { return strings.Join(strings.Fields(e.Reason+" "+e.Status), " ") }

// Start starts a machine, when few enough others are starting. ctx bounds the
// start only. If Config.Ready fails, the machine is ended, and the error ends
// with what its console says. The caller closes the machine.
func (h *Hypervisor) Start(ctx context.Context, c Config) (*Machine, error) {
	select {
	case h.starts <- struct{}{}:
		defer func() { <-h.starts }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("machine %s: %w", c.Name, err)
	}
	m, err := h.launch(&c)
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", c.Name, err)
	}
	if err := m.settle(ctx, c.Ready); err != nil {
		closing := m.Close() // Then QEMU has said all.
		return nil, errors.Join(fmt.Errorf("machine %s: %w%s", c.Name, err, m.story()), closing)
	}
	return m, nil
}

// settle waits until the machine has started.
func (m *Machine) settle(ctx context.Context, ready func(context.Context, *Machine) error) error {
	greet, cancel := context.WithTimeout(ctx, greetPatience)
	defer cancel()
	if err := m.qmp.greet(greet); err != nil {
		return fmt.Errorf("starting QEMU: %w", err)
	}
	if ready == nil {
		return nil
	}
	return ready(ctx, m)
}

// story is the end of all that the machine and QEMU said.
func (m *Machine) story() string {
	var b strings.Builder
	select {
	case <-m.done:
		fmt.Fprintf(&b, "\nQEMU ended: %s", m.exit)
	default:
	}
	if tail := m.console.tail(tailLen); len(tail) > 0 {
		fmt.Fprintf(&b, "\nthe console ends with:\n%s", tail)
	}
	return b.String()
}

// launch starts the process.
func (h *Hypervisor) launch(c *Config) (*Machine, error) {
	args, err := h.args(c)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	m := &Machine{name: c.Name, qmp: newQMP(ours), done: make(chan struct{})}
	if m.console, err = newConsole(c.Serial); err != nil {
		return nil, errors.Join(err, ours.Close(), theirs.Close())
	}
	m.stderr, _ = newConsole("") // Without a file nothing fails.
	m.cmd = exec.Command(h.program, args...)
	m.cmd.Stdout, m.cmd.Stderr, m.cmd.ExtraFiles = m.console, m.stderr, []*os.File{theirs}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go m.run(started)
	err = <-started
	if err := errors.Join(err, theirs.Close()); err != nil {
		return nil, errors.Join(err, ours.Close(), m.console.end())
	}
	m.reading.Go(m.qmp.read)
	return m, nil
}

// run is the life of the process. The kernel ends it when the thread that started
// it ends, so that thread stays.
func (m *Machine) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := m.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	err := m.cmd.Wait()
	m.reading.Wait() // Its socket has ended with it.
	m.exit.Reason = m.qmp.shutdown()
	if err != nil {
		m.exit.Status = strings.TrimSpace(err.Error() + " " + string(m.stderr.tail(tailLen)))
	}
	m.err = errors.Join(m.console.end(), m.qmp.conn.Close())
	close(m.done)
}

// socketPair returns two ends of a connection, one of them for a child.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "qmp"), os.NewFile(uintptr(fds[1]), "qmp")
	conn, err := net.FileConn(ours)
	err = errors.Join(err, ours.Close())
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return conn, theirs, nil
}

// PID returns the process of the machine.
func (m *Machine) PID() int { return m.cmd.Process.Pid }

// Done is closed when the machine has ended.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Wait waits until the machine has ended, and says how.
func (m *Machine) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-m.done:
		return m.exit, nil
	case <-ctx.Done():
		return Exit{}, fmt.Errorf("waiting for the end of machine %s: %w", m.name, context.Cause(ctx))
	}
}

// WaitSerial waits until the guest has written text to its serial port, at the
// position from or later, and returns the position after it. The first one is 0.
// Of more than a megabyte the oldest is not searched.
func (m *Machine) WaitSerial(ctx context.Context, from int64, text string) (int64, error) {
	end, err := m.console.wait(ctx, from, text)
	if err != nil {
		return 0, fmt.Errorf("machine %s: %w%s", m.name, err, m.story())
	}
	return end, nil
}

// Save writes what is known of the machine into files in a directory, for the
// artefacts of a failed test: the newest megabyte of the console, and the command
// line with what QEMU complained about and how it ended.
func (m *Machine) Save(dir string) error {
	about := strings.Join(m.cmd.Args, " ") + "\n" + string(m.stderr.tail(maxSerialKept))
	select {
	case <-m.done:
		about += "ended: " + m.exit.String() + "\n"
	default:
		about += "runs\n"
	}
	base := filepath.Join(dir, m.name)
	return errors.Join(
		os.WriteFile(base+".serial.log", m.console.tail(maxSerialKept), 0o600),
		os.WriteFile(base+".qemu.txt", []byte(about), 0o600),
	)
}

// Close ends the machine at once, if it runs, and returns what went wrong with
// the file of its console.
func (m *Machine) Close() error {
	_ = m.cmd.Process.Kill() // It may have ended.
	<-m.done
	return m.err
}
