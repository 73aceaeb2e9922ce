package cluster_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// as says that a copy of this test program is QEMU.
const as = "CLUSTER_TEST_AS_QEMU"

func TestMain(m *testing.M) {
	if os.Getenv(as) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	// As much of QMP as packages vm and cluster need, on descriptor 3.
	qmp := os.NewFile(3, "qmp")
	fmt.Println("guest: up")
	fmt.Fprintln(qmp, `{"QMP": {}}`)
	for s := bufio.NewScanner(qmp); s.Scan(); {
		var c struct {
			Execute string `json:"execute"`
			ID      int    `json:"id"`
		}
		if err := json.Unmarshal(s.Bytes(), &c); err != nil || c.Execute == "quit" {
			return
		}
		fmt.Fprintf(qmp, "{\"return\": {}, \"id\": %d}\n", c.ID)
	}
}
