package main

import (
	"strings"
	"testing"
)

func TestFigures(t *testing.T) {
	m := measured{}
	m.read("goos: linux\n" +
		"BenchmarkPut/append+fdatasync/1-2 \t    1000\t    100000 ns/op\t       100.0 p50-µs\t       900.0 p99-µs\t      9000 writes/s\n" +
		"BenchmarkPut/http/1-2             \t    1000\t    400000 ns/op\t       250.0 p50-µs\n" +
		"BenchmarkPut/pebble/64-2          \t    1000\t     10000 ns/op\t      8000 writes/s\n" +
		"BenchmarkPut/http/64-2            \t    1000\t     10000 ns/op\t      3999 writes/s\n" +
		"BenchmarkMail/checked/8-2         \t    2000\t     10000 ns/op\t         1.500 cpu-ms/op\t         1.299 server-cpu-ms/op\n" +
		"BenchmarkSealDoc2K/suite1         \t  200000\t      5000 ns/op\t    200000 docs/s\n")
	m.set("story", "s", 61)
	want := map[string]string{
		"story, warm build cache":               "MISSED",
		"leapd dev, idle":                       "NOT MEASURED",
		"put over append+fdatasync, p50":        "met",
		"durable puts by 64 writers":            "MISSED",
		"mail of 10 KB, checked, 8 connections": "met",
		"LD1 seal of 2 KB, suite1, one core":    "met",
	}
	for _, f := range m.figures() {
		if v, ok := want[f.what]; ok && f.verdict() != v {
			t.Errorf("%s: %v %s is %q, want %q", f.what, f.value, f.unit, f.verdict(), v)
		}
		delete(want, f.what)
	}
	if len(want) > 0 {
		t.Errorf("no such figures: %v", want)
	}
	if m.exceeds("BenchmarkMail/", "server-cpu-ms/op", mailBudget) || !m.exceeds("BenchmarkMail/", "cpu-ms/op", mailBudget) {
		t.Error("exceeds is wrong about 1.299 or 1.500")
	}
	var out strings.Builder
	summary(&out, m.figures())
	if !strings.Contains(out.String(), "2.50 x       ≤ 3        met") {
		t.Errorf("the summary is\n%s", &out)
	}
}
