package updates_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// task is the variable of the environment that tells a process what to do.
const task = "LEAP_BENCH_TASK"

func TestMain(m *testing.M) {
	if does := tasks[os.Getenv(task)]; does != nil {
		os.Exit(measure(does))
	}
	os.Exit(m.Run())
}

// BenchmarkUpdates measures everything, once.
func BenchmarkUpdates(b *testing.B) {
	b.Run("refresh", refresh)
	b.Run("size", size)
	pair := &pair{dir: b.TempDir()}
	b.Run("release", pair.release)
	if pair.whole == nil {
		b.Skip("no two releases: see above")
	}
	b.Run("build", pair.build)
	if pair.delta == nil {
		b.Skip("no delta: see above")
	}
	b.Run("apply", pair.apply)
	for _, way := range []string{"delta", "packed", "full"} {
		b.Run(way, func(b *testing.B) { pair.fetch(b, way) })
	}
}

func must(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// run has another process of this program do a task with files in a directory, and
// reports what it needed.
func run(b *testing.B, name, dir string) {
	b.Helper()
	self, err := os.Executable()
	must(b, err)
	cmd := exec.CommandContext(b.Context(), self)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), task+"="+name), os.Stderr
	begun := time.Now()
	out, err := cmd.Output()
	must(b, err)
	b.ReportMetric(time.Since(begun).Seconds(), "s")
	words := strings.Fields(string(out))
	for i := 0; i+1 < len(words); i += 2 {
		v, err := strconv.ParseFloat(words[i], 64)
		must(b, err)
		b.ReportMetric(v, words[i+1])
	}
}

// measure does a task and prints what it needed: processor time, and how much
// memory the process had at most, and beyond what it had before.
func measure(does func() error) int {
	before := status("VmRSS")
	// Of Linux, proc(5): the peak is counted from now on.
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	if err := does(); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	most := status("VmHWM")
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	cpu := time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	for _, f := range []struct {
		v    float64
		unit string
	}{{most, "MB"}, {most - before, "more-MB"}, {cpu, "cpu-s"}} {
		os.Stdout.WriteString(strconv.FormatFloat(f.v, 'f', 3, 64) + " " + f.unit + "\n")
	}
	return 0
}

// status is a field of the process's status, in MB.
func status(name string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 3 && words[0] == name+":" {
			n, _ := strconv.ParseFloat(words[1], 64) // It is a number.
			return n * 1024 / 1e6
		}
	}
	return 0
}

// root is the directory of the module.
func root(b *testing.B) string {
	dir, err := filepath.Abs("../../..")
	must(b, err)
	return dir
}
