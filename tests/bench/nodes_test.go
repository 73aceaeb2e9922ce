package main

import "testing"

func TestNodeFigures(t *testing.T) {
	m := measured{}
	m.read("BenchmarkNodes/five-2 \t       1\t       20.5 agents-s\t         59.5 healthy-s\t         2.25 unchanged-s\n")
	want := map[string]string{
		"five nodes, from launch to all healthy": "met",
		"  to all agents":                        "",
		"unchanged documents for five nodes":     missed,
		"a node with one service, to healthy":    "NOT MEASURED",
	}
	for _, f := range m.nodeFigures() {
		if v, ok := want[f.what]; ok && f.verdict() != v {
			t.Errorf("%s: %v %s is %q, want %q", f.what, f.value, f.unit, f.verdict(), v)
		}
		delete(want, f.what)
	}
	if len(want) > 0 {
		t.Errorf("no such figures: %v", want)
	}
}
