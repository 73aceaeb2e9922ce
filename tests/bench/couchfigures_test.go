package main

import "testing"

func TestCouchFigures(t *testing.T) {
	m := measured{}
	m.read("BenchmarkCouch/put/1-2 \t       1\t       999 leapd-puts/s\t         0.4726 p50-ms\t         3.046 p99-ms\t         3.5 x-pouchdb\n" +
		"BenchmarkCouch/get-2  \t       1\t         0.18 leapd-p50-ms\n" +
		"BenchmarkCouch/three-2  \t       1\t       90.5 64-p99-ms\t       700 serial-puts/s\n" +
		"BenchmarkPropose/64-2 \t    3000\t   2352803 ns/op\t        67.60 p50-ms\t        60.0 p99-ms\t       425.0 writes/s\n" +
		"BenchmarkCouch/million-2  \t       1\t       1000000 docs\t        251 rss-MB\n")
	want := map[string]string{
		"durable puts, clients: 1":                 missed,
		"  over pouchdb-server":                    "met",
		"durable puts, clients: 64":                "NOT MEASURED",
		"GET, p50":                                 "met",
		"three nodes, durable puts, clients: 1":    "met",
		"three nodes, 64 clients, p99 over groups": missed,
		"a million documents: memory":              missed,
	}
	for _, f := range m.couchFigures() {
		if v, ok := want[f.what]; ok && f.verdict() != v {
			t.Errorf("%s: %v %s is %q, want %q", f.what, f.value, f.unit, f.verdict(), v)
		}
		delete(want, f.what) // The first of this name.
	}
	if len(want) > 0 {
		t.Errorf("no such figures: %v", want)
	}
}
