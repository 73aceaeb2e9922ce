// Command guest does from inside of a node what a test cannot do from outside:
// it is the first process of the machine, leaves a saboteur behind, and becomes
// the release's init. The saboteur reads orders from a disk, to which the test
// writes them, and says on the console what came of each.
//
//	NUMBER kill SERVICE   kill -9, and wait until the service is back
//	NUMBER fill           fill perm to the last block
//	NUMBER free           make room again
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	mailbox = "/dev/vdc"
	filler  = "/perm/filler"
	block   = 4096
	patient = time.Minute // Until a service is back.
)

func main() {
	if os.Getpid() == 1 {
		_, err := os.StartProcess("/init", []string{"saboteur"}, &os.ProcAttr{Files: []*os.File{os.Stdout, os.Stdout, os.Stdout}})
		fmt.Println("saboteur:", err, syscall.Exec("/leapd", []string{"/init"}, os.Environ()))
		return
	}
	last := 0
	for {
		number, order, of := read()
		if number > last {
			last = number
			text, err := obey(order, of)
			// One write: others write to the console too.
			os.Stdout.WriteString(fmt.Sprintf("saboteur: %d %s (%v)\n", number, text, err))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// read reads the mailbox, past the kernel's cache.
func read() (number int, order, of string) {
	f, err := os.OpenFile(mailbox, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return 0, "", "" // Not yet.
	}
	defer f.Close()
	room := make([]byte, 2*block)
	at := block - int(uintptr(unsafe.Pointer(&room[0]))%block) // Where the kernel can write to directly.
	if _, err := io.ReadFull(f, room[at:at+block]); err != nil {
		return 0, "", ""
	}
	text, _, _ := bytes.Cut(room[at:at+block], []byte("\n"))
	words := append(strings.Fields(string(text)), "", "", "")
	number, _ = strconv.Atoi(words[0]) // Blank: there is no order.
	return number, words[1], words[2]
}

func obey(order, of string) (string, error) {
	switch order {
	case "kill":
		return kill(of)
	case "fill":
		return fill()
	case "free":
		return "freed", os.Remove(filler)
	}
	return "what?", nil
}

// process finds the process of a service.
func process(service string) int {
	all, _ := os.ReadDir("/proc") // None: not found.
	for _, e := range all {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline") // It may have ended.
		if name, _, _ := strings.Cut(string(line), "\x00"); name == "/user/"+service {
			return pid
		}
	}
	return 0
}

func kill(service string) (string, error) {
	old := process(service)
	if old == 0 {
		return service + " does not run", nil
	}
	begin := time.Now()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		return service, err
	}
	for time.Since(begin) < patient {
		if now := process(service); now != 0 && now != old {
			return fmt.Sprintf("killed %s, back after %d ms", service, time.Since(begin).Milliseconds()), nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return service + " does not come back", nil
}

func fill() (string, error) {
	f, err := os.Create(filler)
	if err != nil {
		return "filled nothing", err
	}
	defer f.Close()
	size := int64(0)
	for step := int64(64 << 20); step >= block; {
		err := unix.Fallocate(int(f.Fd()), 0, size, step)
		if errors.Is(err, unix.ENOSPC) {
			step /= 2
			continue
		}
		if err != nil {
			return "filled", err
		}
		size += step
	}
	return fmt.Sprintf("filled %d MiB", size>>20), f.Sync()
}
