package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/node"
	"leap.example/appliance/supervise"
	"leap.example/appliance/volume"
)

const (
	agentName   = "agent"
	logSize     = 1 << 20 // Bytes for each service.
	noPermLogs  = "/run/log"
	diskPatient = 10 * time.Second // Until disks have appeared.
)

// pid1 is the first process of a node. Nothing that it finds makes it end or
// give up: what goes wrong is told on the console and to the agent, and the
// rest is done.
type pid1 struct {
	console io.Writer
	boot    node.Boot
	found   bool // disk is the node's.
	disk    volume.Disk
	gokrazy []string // What gokrazy said.
}

// runInit is what the first process of a node does, until the machine restarts.
func runInit(console io.Writer) {
	p := &pid1{console: console}
	p.boot.Started = time.Now().UTC()
	p.say("starting, release %s", release())
	p.try("mounting what the kernel offers", mountKernel)
	p.try("closing standard input", closeStdin)
	p.try("raising the limit of files", raiseFiles)
	p.found = p.try("finding the disk", p.findDisk)
	sound := p.found && p.try("checking the boot partition", p.disk.CheckESP)
	if p.found {
		p.boot.Perm = p.try("opening perm", p.openPerm)
	}
	p.try("asking the boot loader", p.askLoader)
	// gokrazy would try to mount what we did not.
	if !sound || !p.boot.Perm || !p.try("starting gokrazy", p.bootGokrazy) {
		p.try("starting without gokrazy", mountRest)
	}
	p.try("tightening mounts", remount)
	p.try("setting kernel parameters", sysctls)
	p.serve()
}

// say writes a line to the console.
func (p *pid1) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.console, "leap: "+format+"\n", args...) // There is nowhere else to write.
}

// try does something and reports whether it went well. If it did not, or if it
// panicked, it becomes trouble.
func (p *pid1) try(what string, do func() error) (ok bool) {
	err := func() (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
			}
		}()
		return do()
	}()
	if err != nil {
		p.trouble(fmt.Errorf("%s: %w", what, err))
	}
	return err == nil
}

func (p *pid1) trouble(err error) {
	p.boot.Trouble = append(p.boot.Trouble, err.Error())
	p.say("TROUBLE %s", strings.ReplaceAll(err.Error(), "\n", "\nleap:   "))
}

// bootGokrazy has gokrazy do its part. What it says goes to the log: it is many
// lines in good times, too.
func (p *pid1) bootGokrazy() (err error) {
	p.gokrazy, err = quietly(bootGokrazy)
	return err
}

// findDisk waits until the node's disk is there.
func (p *pid1) findDisk() (err error) {
	for deadline := time.Now().Add(diskPatient); ; {
		p.disk, err = volume.Here.Find()
		if !errors.Is(err, volume.ErrNoDisk) || time.Now().After(deadline) {
			return err
		}
		<-time.After(100 * time.Millisecond)
	}
}

func (p *pid1) openPerm() error {
	begin := time.Now()
	formatted, err := p.disk.Open(node.Perm)
	if err != nil {
		return err
	}
	p.boot.Formatted = p.boot.Formatted || formatted
	how := "mounted"
	if formatted {
		how = "formatted and mounted"
	}
	p.say("perm is %s (%s, %.1f s)", how, p.disk.Path, time.Since(begin).Seconds())
	return nil
}

// serve starts the supervisor and the agent, and restarts the machine when
// somebody asks for it.
func (p *pid1) serve() {
	ctx, end := context.WithCancel(context.Background())
	command := unix.LINUX_REBOOT_CMD_RESTART
	var once sync.Once
	finish := func(why string, how int) {
		once.Do(func() {
			p.say("%s", why)
			command = how
			end()
		})
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		s := <-asked
		finish(fmt.Sprintf("restarting: %v", s), unix.LINUX_REBOOT_CMD_RESTART)
	}()
	overdue := make(chan string, 1) // Why the release that runs is given up.
	if p.boot.Trial != nil {
		go p.watchTrial(ctx, func(why string) {
			overdue <- why
			finish("restarting with the release before: "+why, unix.LINUX_REBOOT_CMD_RESTART)
		})
	}
	go watchPower(func() { finish("powering off: the button was pressed", unix.LINUX_REBOOT_CMD_POWER_OFF) })

	// There the agent finds what init tells it, and the files of services.
	p.try("making "+node.RunDir, func() error { return os.MkdirAll(node.RunDir, 0o755) })
	identified := p.try("finding out who this node is", func() error { return p.identify(ctx) })
	var logs *supervise.Logs
	dirs := []string{node.LogDir, noPermLogs}
	if !p.boot.Perm {
		dirs = dirs[1:]
	}
	for _, dir := range dirs {
		if logs == nil {
			p.try("opening logs", func() (err error) { logs, err = supervise.NewLogs(dir, logSize); return err })
		}
	}
	if logs == nil { // There is no memory left, or worse.
		p.halt(unix.LINUX_REBOOT_CMD_RESTART)
	}
	for _, line := range p.gokrazy {
		logs.Add("init", "gokrazy: "+line)
	}
	log := slog.New(slog.NewTextHandler(&lines{p.console, logs}, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	s := supervise.New(supervise.Config{
		Command: command1, Logs: logs, Log: log,
		Reboot: func() { finish("restarting: its agent asks for it", unix.LINUX_REBOOT_CMD_RESTART) },
	})
	p.try("telling the agent", p.report)
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	p.try("opening the control socket", func() error {
		ln, err := supervise.Listen(node.ControlSocket)
		if err != nil {
			return err
		}
		wg.Go(func() {
			if err := s.Serve(ctx, ln); err != nil {
				log.Error("the control socket is gone", "err", err)
			}
		})
		return nil
	})
	if identified {
		p.try("starting the agent", func() error { return s.Start(ctx, agentName) })
	}
	p.say("up after %.1f s", time.Since(p.boot.Started).Seconds())
	wg.Wait()
	select {
	case why := <-overdue:
		p.try("giving up the release", func() error { return p.condemn(why) })
	default:
	}
	p.try("closing logs", logs.Close)
	p.halt(command)
}

// report writes what was found for the agent.
func (p *pid1) report() error {
	text, err := json.Marshal(p.boot)
	if err != nil {
		return err
	}
	return os.WriteFile(node.BootFile, text, 0o600)
}

// halt ends the kernel. It does not return.
func (p *pid1) halt(command int) {
	if p.boot.Perm {
		p.try("unmounting perm", unmountPerm)
	}
	unix.Sync()
	p.say("down")
	for {
		if err := unix.Reboot(command); err != nil {
			p.say("TROUBLE the kernel does not obey: %v", err)
		}
		<-time.After(10 * time.Second)
	}
}

// release is the version of the image.
func release() string {
	text, err := os.ReadFile(node.ReleaseFile)
	var r struct{ Version string }
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return "unknown"
	}
	return r.Version
}

// lines writes what init logs to the console and to its own log.
type lines struct {
	console io.Writer
	logs    *supervise.Logs
}

// Write implements [io.Writer] for one line.
func (l *lines) Write(line []byte) (int, error) {
	l.logs.Add("init", strings.TrimSuffix(string(line), "\n"))
	_, err := l.console.Write(slices.Concat([]byte("leap: "), line))
	return len(line), err
}

// withoutTime drops the time, which the log adds by itself.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
