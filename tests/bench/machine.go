package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unknown is what is written in place of what cannot be found out.
const unknown = "unknown"

// machine returns a short name of this kind of machine: processors and system.
func machine() string { return fmt.Sprintf("%dcore-%s", runtime.NumCPU(), runtime.GOARCH) }

// head writes what the figures depend on.
func head(ctx context.Context, out io.Writer) {
	git := func(args ...string) string {
		b, err := exec.CommandContext(ctx, "git", args...).Output()
		if err != nil {
			return unknown
		}
		return strings.TrimSpace(string(b))
	}
	fmt.Fprintf(out, "# commit %s", git("rev-parse", "HEAD"))
	if s := git("status", "--porcelain"); s != "" && s != unknown {
		fmt.Fprint(out, " with uncommitted changes")
	}
	fmt.Fprintf(out, "\n# %s\n# %s, %d cores, %s\n", time.Now().UTC().Format(time.RFC3339), runtime.Version(), runtime.NumCPU(), field("/proc/cpuinfo", "model name"))
	fmt.Fprintf(out, "# memory %s\n", field("/proc/meminfo", "MemTotal"))
	var fs unix.Statfs_t
	if err := unix.Statfs(os.TempDir(), &fs); err == nil && fs.Type == unix.TMPFS_MAGIC {
		fmt.Fprintf(out, "# %s IS IN MEMORY: nothing here was durable; set TMPDIR to a directory on a disk\n", os.TempDir())
	}
}

// load returns how many processes wanted to run in the last 1, 5 and 15 minutes.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	words := strings.Fields(string(data))
	if err != nil || len(words) < 3 {
		return unknown
	}
	return strings.Join(words[:3], " ")
}

// field returns the value of the first "name : value" line of a file of /proc.
func field(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return unknown
}
