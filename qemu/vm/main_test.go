package vm_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"leap.example/qemu/vm"
)

// as says what a copy of this test program is instead.
const as = "VM_TEST_AS"

// TestMain is also the QEMU of these tests, and a lab that dies, each in a
// process of its own.
func TestMain(m *testing.M) {
	switch os.Getenv(as) {
	case "":
		goleak.VerifyTestMain(m)
	case "lab":
		lab()
	default:
		fakeQEMU(os.Getenv(as))
	}
}

// lab starts a machine, tells its process, and stays.
func lab() {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	must(os.Setenv(as, "good"))
	h, err := vm.Open(context.Background(), vm.Options{Program: os.Args[0], Accel: vm.TCG})
	must(err)
	m, err := h.Start(context.Background(), vm.Config{Name: "orphan", Kernel: os.Args[0]})
	must(err)
	fmt.Println(m.PID())
	select {}
}

// fakeQEMU speaks as much QMP as the package needs, on descriptor 3: it behaves
// well, or is broken, silent or stubborn.
func fakeQEMU(how string) {
	qmp := os.NewFile(3, "qmp")
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(qmp, format+"\n", args...) }
	if how == "broken" {
		fmt.Fprintln(os.Stderr, "qemu: no such board")
		os.Exit(1)
	}
	fmt.Println("guest: booting")
	if how != "silent" {
		say(`{"QMP": {"version": {}, "capabilities": ["oob"]}}`)
	}
	status := "running"
	for s := bufio.NewScanner(qmp); s.Scan(); {
		var c struct {
			Execute string `json:"execute"`
			ID      int    `json:"id"`
		}
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			panic(err)
		}
		answer := "{}"
		switch c.Execute {
		case "qmp_capabilities":
			fmt.Println("guest: up")
		case "query-status":
			answer = fmt.Sprintf(`{"status": %q, "running": true}`, status)
		case "stop":
			status = "paused"
			say(`{"event": "STOP", "timestamp": {"seconds": 1}}`)
		case "cont":
			status = "running"
		case "system_reset":
			say(`{"error": {"class": "GenericError", "desc": "no reset here"}, "id": %d}`, c.ID)
			continue
		case "system_powerdown":
			say(`{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}`)
			os.Exit(0)
		case "quit":
			if how == "stubborn" {
				continue
			}
			say(`{"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}`)
			os.Exit(0)
		}
		say(`{"return": {"status": "of an older command"}, "id": %d}`, c.ID-1)
		say(`{"return": %s, "id": %d}`, answer, c.ID)
	}
}
