package vpn_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"leap.example/appliance/netcfg/nettest"
)

// What a process of this program is to be, about what, and where it leaves
// profiles, if it is to.
const (
	roleName    = "VPNBENCH_ROLE"
	roleAbout   = "VPNBENCH_ABOUT"
	roleProfile = "VPNBENCH_PROFILE"
)

// roles are what this program does in the processes that the scenes start.
var roles = map[string]func() error{"gateway": gatewayRole, "helper": helperRole, "connect": connectRole, "echo": echoRole}

// role is this program in another part. What it leaves of profiles is called name.
func (w *world) role(part, name string, about any) *exec.Cmd {
	w.Helper()
	data, err := json.Marshal(about)
	w.must(err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleName+"="+part, roleAbout+"="+string(data))
	if *profiles != "" {
		cmd.Env = append(cmd.Env, roleProfile+"="+filepath.Join(*profiles, name))
	}
	return cmd
}

// about reads what this process is told.
func about(v any) error { return json.Unmarshal([]byte(os.Getenv(roleAbout)), v) }

// A process is a program that a scene runs.
type process struct {
	*exec.Cmd
	w    *world
	out  *bufio.Reader // What it prints.
	pipe *os.File
	done bool
}

// start starts a program in the namespace of p, or here if that is nil. It ends
// with the scene at last.
func (w *world) start(p *nettest.Peer, cmd *exec.Cmd) *process {
	w.Helper()
	r, out, err := os.Pipe()
	w.must(err)
	defer out.Close()
	log, err := os.CreateTemp(w.dir, "log")
	w.must(err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = out, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	one := &process{Cmd: cmd, w: w, out: bufio.NewReader(r), pipe: r}
	if p == nil {
		w.must(cmd.Start())
	} else {
		p.Do(w, cmd.Start)
	}
	w.Cleanup(func() {
		one.end()
		if text, err := os.ReadFile(log.Name()); err == nil && w.Failed() {
			w.Logf("%s said:\n%s", filepath.Base(cmd.Path), text)
		}
	})
	return one
}

// until reads what the process prints until a line has the word, for at most 30
// seconds.
func (p *process) until(word string) string {
	p.w.Helper()
	p.w.must(p.pipe.SetReadDeadline(time.Now().Add(30 * time.Second)))
	for {
		line, err := p.out.ReadString('\n')
		if err != nil {
			p.w.Fatalf("%s did not say %q: %v", filepath.Base(p.Path), word, err)
		}
		if strings.Contains(line, word) {
			return line
		}
	}
}

// drain reads on in the background, so that the process can go on printing.
func (p *process) drain() {
	p.w.must(p.pipe.SetReadDeadline(time.Time{}))
	go func() { _, _ = io.Copy(io.Discard, p.out) }()
}

// end asks the process to end, and waits until it is gone.
func (p *process) end() {
	if p.done {
		return
	}
	p.done = true
	_ = p.Process.Signal(syscall.SIGTERM)
	killer := time.AfterFunc(5*time.Second, func() { _ = p.Process.Kill() })
	_ = p.Wait()
	killer.Stop()
	p.pipe.Close()
}

// cpu is the processor time that the process has had, in seconds; it is counted
// in hundredths.
func (p *process) cpu() float64 {
	p.w.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.Process.Pid) + "/stat")
	p.w.must(err)
	_, rest, _ := strings.Cut(string(text), ") ")
	words := strings.Fields(rest)
	if len(words) < 13 {
		p.w.Fatal("/proc/PID/stat is not what it was")
	}
	var sum float64
	for _, word := range words[11:13] { // User's, system's.
		ticks, err := strconv.ParseFloat(word, 64)
		p.w.must(err)
		sum += ticks / 100
	}
	return sum
}

// anonymous is the memory of the process that no file stands behind, in MB.
func (p *process) anonymous() float64 {
	p.w.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.Process.Pid) + "/status")
	p.w.must(err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			p.w.must(err)
			return kib * 1024 / 1e6
		}
	}
	p.w.Fatal("the kernel does not say what is anonymous")
	return 0
}

// told returns a channel that gets the signal to end.
func told() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	return c
}

// profiled calls f, and leaves profiles of the processor and, as f ends, of the
// heap, if that is asked for.
func profiled(f func() error) (err error) {
	path := os.Getenv(roleProfile)
	if path == "" {
		return f()
	}
	cpu, err := os.Create(path + ".cpu")
	if err != nil {
		return err
	}
	mem, err := os.Create(path + ".mem")
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return err
	}
	err = f()
	pprof.StopCPUProfile()
	return errors.Join(err, cpu.Close(), pprof.Lookup("heap").WriteTo(mem, 0), mem.Close())
}

// ready tells who started this process that it works.
func ready() { fmt.Println("ready") }
