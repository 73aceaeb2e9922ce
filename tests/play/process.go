package play

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Process is a program that runs beside the story, with its output in a file.
type Process struct {
	Log  string        // File.
	Done chan struct{} // Closed when it has ended.
	Err  error         // How; read after Done.

	name string
	cmd  *exec.Cmd
}

// Start starts a program. Its environment is empty but for what env gives.
func Start(dir, name string, env []string, argv ...string) (*Process, error) {
	p := &Process{name: name, Log: filepath.Join(dir, name+".log"), Done: make(chan struct{})}
	f, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, f, f
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() { p.Err = p.cmd.Wait(); close(p.Done) }()
	return p, nil
}

// Stop asks the program to end, and after ten seconds makes it.
func (p *Process) Stop() {
	if p.cmd.Process.Signal(syscall.SIGTERM) == nil {
		select {
		case <-p.Done:
			return
		case <-time.After(10 * time.Second):
		}
	}
	p.cmd.Process.Kill() // It may have ended by itself.
	<-p.Done
}

// Print prints the end of the log.
func (p *Process) Print(out io.Writer) {
	fmt.Fprintf(out, "--- %s: last lines\n%s\n", p.name, p.tail(15))
}

// tail returns the last lines that the program printed.
func (p *Process) tail(lines int) string {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Tool runs a program to its end and returns what it printed on standard output.
func (s *Story) Tool(stdin string, env []string, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(s.Ctx, argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s: %w: %s", filepath.Base(argv[0]), err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

// decode reads one JSON document strictly enough to notice an empty answer.
func decode[T any](data []byte) (T, error) {
	var v T
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("decoding %.200q: %w", data, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, fmt.Errorf("data after the answer: %.200q", data)
	}
	return v, nil
}
