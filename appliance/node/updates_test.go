package node_test

import (
	"testing"
	"time"

	"leap.example/appliance/node"
)

// TestWindows: at what times a node may restart.
func TestWindows(t *testing.T) {
	weekend := node.Window{Days: []string{"sat", "sun"}, From: "02:00", For: node.Duration(2 * time.Hour)}
	night := node.Window{From: "23:00", For: node.Duration(2 * time.Hour)}
	for _, test := range []struct {
		windows []node.Window
		at      string // 2026-06-01 is a Monday.
		open    bool
		next    string
	}{
		{nil, "2026-06-01T12:00:00Z", true, ""},
		{[]node.Window{weekend}, "2026-06-01T02:30:00Z", false, "2026-06-06T02:00:00Z"},
		{[]node.Window{weekend}, "2026-06-06T02:00:00Z", true, ""},
		{[]node.Window{weekend}, "2026-06-06T04:00:00Z", false, "2026-06-07T02:00:00Z"},
		{[]node.Window{weekend}, "2026-06-07T05:59:59+02:00", true, ""},
		{[]node.Window{night}, "2026-06-01T00:59:59Z", true, ""}, // It began on Sunday.
		{[]node.Window{night}, "2026-06-01T01:00:00Z", false, "2026-06-01T23:00:00Z"},
		{[]node.Window{weekend, night}, "2026-06-06T01:30:00Z", false, "2026-06-06T02:00:00Z"},
		{[]node.Window{{From: "00:00", For: node.Duration(24 * time.Hour)}}, "2026-06-01T12:00:00Z", true, ""},
	} {
		at, err := time.Parse(time.RFC3339, test.at)
		if err != nil {
			t.Fatal(err)
		}
		open, next := node.Updates{Windows: test.windows}.Open(at)
		if open != test.open || !open && next.Format(time.RFC3339) != test.next {
			t.Errorf("at %s with %v: open %v, next %v", test.at, test.windows, open, next)
		}
	}
}
