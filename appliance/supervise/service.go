package supervise

import (
	"fmt"
	"syscall"
	"time"
)

// A Command is how a service becomes a process.
type Command struct {
	Path string   // Of the program.
	Args []string // With the program's name.
	Env  []string // All of its environment.
	Dir  string
	Sys  syscall.SysProcAttr // Credentials and capabilities.
	// Always has it started again even after a status that says that this
	// cannot help.
	Always bool
}

// Exit statuses that mean something (services/daemon).
const exitStay = 125 // Another start cannot help.

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 30 * time.Second
	settled    = time.Minute // A run this long sets the delay back.
)

// ending says in words how a process ended.
func ending(ws syscall.WaitStatus) string {
	if ws.Signaled() {
		return fmt.Sprintf("killed by signal %d (%v)", int(ws.Signal()), ws.Signal())
	}
	if ws.ExitStatus() == exitStay {
		return "status 125: its configuration or its surroundings are wrong, see its log"
	}
	return fmt.Sprintf("status %d", ws.ExitStatus())
}

// A history is how the runs of a service went. It decides what comes next.
type history struct {
	ends    int // In a row, each within a minute of its start.
	backoff time.Duration
}

// ended notes that a run of this length ended, and returns the delay before the
// next one.
func (h *history) ended(ran time.Duration) time.Duration {
	if ran >= settled || h.backoff == 0 {
		*h = history{backoff: minBackoff}
	} else {
		h.backoff = min(2*h.backoff, maxBackoff)
	}
	h.ends++
	return h.backoff
}

// complaint is what a status says about the ends of a service.
func (h *history) complaint(how string) string {
	if h.ends < 2 {
		return "ended: " + how
	}
	return fmt.Sprintf("ended %d times in a row, the last time: %s", h.ends, how)
}
