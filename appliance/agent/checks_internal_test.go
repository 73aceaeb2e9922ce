package agent

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"
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
