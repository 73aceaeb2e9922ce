package supervise_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain is also the program of the services in these tests: what they do is
// in their argument.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "service" {
		os.Exit(service(os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

func service(does string) int {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	fmt.Println("hello from", does)
	fmt.Fprintln(os.Stderr, "ready", os.Getpid())
	switch {
	case strings.HasPrefix(does, "exit"):
		var status int
		fmt.Sscan(strings.TrimPrefix(does, "exit"), &status)
		return status
	case does == "deaf":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("deaf now")
		select {}
	case does == "orphan": // Starts a process that leaves the group and outlives it.
		grandchild := exec.Command(os.Args[0], "service", "brief")
		grandchild.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		grandchild.Stdout = os.Stdout
		if err := grandchild.Start(); err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("orphan", grandchild.Process.Pid)
		return 1
	case does == "brief":
		time.Sleep(200 * time.Millisecond)
		return 0
	case does == "chatter":
		for i := range 2000 {
			fmt.Println("line", i, strings.Repeat("x", 50))
		}
	}
	<-term
	fmt.Println("asked to stop")
	return 143
}
