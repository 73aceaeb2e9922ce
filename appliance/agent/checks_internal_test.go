package agent

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leap.example/appliance/node"
)

// table is /proc/net/tcp: ssh on loopback, a mail server on all addresses, one
// connection.
const table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
	"   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n" +
	"   1: 00000000:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n" +
	"   2: 0205050A:01BB 0105050A:C001 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"

// table6 is /proc/net/tcp6: pages on all addresses, the database on loopback twice.
const table6 = "  sl  local_address                         remote_address                        st\n" +
	"   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0\n" +
	"   1: 00000000000000000000000001000000:1760 00000000000000000000000000000000:0000 0A 0\n" +
	"   2: 0000000000000000FFFF00000100007F:1761 00000000000000000000000000000000:0000 0A 0\n"

func TestListening(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the tables are those of a little-endian machine")
	}
	got := map[uint16]bool{}
	for _, text := range []string{table, table6} {
		if err := listening(strings.NewReader(text), got); err != nil {
			t.Fatal(err)
		}
	}
	if ports := slices.Sorted(maps.Keys(got)); !slices.Equal(ports, []uint16{25, 443}) {
		t.Errorf("the ports %v listen", ports)
	}
	for _, line := range []string{"0: 00:0019 x 0A", "0: 0000000G:0019 x 0A", "0: 00000000:1FFFF x 0A", "0: 000000000019 x 0A"} {
		if err := listening(strings.NewReader("title\n"+line+"\n"), got); err == nil {
			t.Errorf("%q was read", line)
		}
	}
}

// TestListeners: what listens is the agent, a service, and what serves copies of
// releases, if the document says so.
func TestListeners(t *testing.T) {
	dir := t.TempDir()
	tcp, tcp6 := filepath.Join(dir, "tcp"), filepath.Join(dir, "tcp6")
	if err := errors.Join(os.WriteFile(tcp, []byte(table), 0o600), os.WriteFile(tcp6, []byte(table6), 0o600)); err != nil {
		t.Fatal(err)
	}
	d := node.Document{Agent: node.Agent{Port: 25}}
	if c := checkListeners(d, tcp, tcp6); c.State != node.CheckFail || c.Text != "port 443 is open and no part of the document" {
		t.Errorf("without a mirror: %+v", c)
	}
	d.Updates = &node.Updates{Mirror: &node.Mirror{Port: 443}}
	if c := checkListeners(d, tcp, tcp6); c.State != node.CheckOK {
		t.Errorf("with one: %+v", c)
	}
	d.Updates.Mirror.Port = 444
	if c := checkListeners(d, tcp, tcp6); !strings.Contains(c.Text, "nothing listens at port 444") {
		t.Errorf("with one that does not listen: %+v", c)
	}
}

// FuzzListening never fails but with an error.
func FuzzListening(f *testing.F) {
	f.Add(table)
	f.Add(table6)
	f.Fuzz(func(t *testing.T, text string) {
		ports := map[uint16]bool{}
		if err := listening(strings.NewReader(text), ports); err == nil && len(ports) > strings.Count(text, "0A") {
			t.Errorf("%d ports of %q", len(ports), text)
		}
	})
}
