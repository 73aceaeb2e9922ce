package main

import "testing"

func TestUpdateFigures(t *testing.T) {
	m := measured{}
	m.read("BenchmarkUpdates/refresh/client-2 \t       1\t  2000000 ns/op\t      1500 B-wire\t         2.000 requests\n" +
		"BenchmarkUpdates/refresh/node-2 \t       1\t  2000000 ns/op\t      1500 B-wire\t         4.000 requests\n" +
		"BenchmarkUpdates/build-2 \t       1\t  2000000 ns/op\t         2.100 %-of-packed\t       400 delta-KB\n")
	want := map[string]string{
		"asking when there is no news, client": "met",
		"asking when there is no news, node":   missed,
		"  bytes on the wire":                  "met",
		"delta over the packed release":        missed,
		"applying a delta, memory":             "NOT MEASURED",
	}
	for _, f := range m.updateFigures() {
		if v, ok := want[f.what]; ok && f.verdict() != v {
			t.Errorf("%s: %v %s is %q, want %q", f.what, f.value, f.unit, f.verdict(), v)
		}
		delete(want, f.what)
	}
	if len(want) > 0 {
		t.Errorf("no such figures: %v", want)
	}
}
