package main

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// missed is the verdict on a figure that is.
const missed = "MISSED"

// mailBudget is the processor time of one mail of 10 KB, in milliseconds.
const mailBudget = 1.3

// measured is what was found: by the name of a benchmark, then by unit.
type measured map[string]map[string]float64

func (m measured) set(name, unit string, v float64) {
	if m[name] == nil {
		m[name] = map[string]float64{}
	}
	m[name][unit] = v
}

// benchmarkLine is a line of "go test -bench": name, processors, the number of
// iterations, and pairs of value and unit.
var benchmarkLine = regexp.MustCompile(`(?m)^(Benchmark\S+?)(?:-\d+)?\s+\d+\t(.+)$`)

// read takes in what "go test -bench" printed.
func (m measured) read(out string) {
	for _, line := range benchmarkLine.FindAllStringSubmatch(out, -1) {
		words := strings.Fields(line[2])
		for i := 0; i+1 < len(words); i += 2 {
			if v, err := strconv.ParseFloat(words[i], 64); err == nil {
				m.set(line[1], words[i+1], v)
			}
		}
	}
}

// exceeds reports whether a benchmark whose name begins with prefix found more
// of a unit than most.
func (m measured) exceeds(prefix, unit string, most float64) bool {
	for name, values := range m {
		if strings.HasPrefix(name, prefix) && values[unit] > most {
			return true
		}
	}
	return false
}

// A figure is what was promised and what was found.
type figure struct {
	what   string
	value  float64 // 0: not measured.
	unit   string
	most   float64 // Target, if not 0.
	least  float64 // Target, if not 0.
	remark string
	scene  string // Of package couch or vpn, whose profile explains a miss.
	of     string // In package vpn: the process that is profiled.
}

// verdict says whether the figure is met.
func (f figure) verdict() string {
	switch {
	case f.value == 0:
		return "NOT MEASURED"
	case f.most == 0 && f.least == 0:
		return ""
	case f.most != 0 && f.value > f.most, f.value < f.least:
		return missed
	}
	return "met"
}

func (f figure) target() string {
	switch {
	case f.most != 0 && f.least != 0:
		return fmt.Sprintf("%.4g–%.4g", f.least, f.most)
	case f.most != 0:
		return fmt.Sprintf("≤ %.4g", f.most)
	case f.least != 0:
		return fmt.Sprintf("≥ %.6g", f.least)
	}
	return ""
}

// figures returns the figures in their order. One without target explains the
// one before it.
func (m measured) figures() []figure {
	get := func(name, unit string) float64 { return m[name][unit] }
	put, bare := get("BenchmarkPut/http/1", "p50-µs"), get("BenchmarkPut/append+fdatasync/1", "p50-µs")
	ratio := 0.0
	if bare > 0 {
		ratio = put / bare
	}
	pebble := get("BenchmarkPut/pebble/64", "writes/s")
	list := []figure{
		{what: "story, warm build cache", value: get("story", "s"), unit: "s", most: 60},
		{what: "leapd dev, idle", value: get("idle", "MB"), unit: "MB", most: 200, remark: "VmRSS"},
		{what: "sign-up beyond the password hash", value: get("signup", "beyond-kdf-ms"), unit: "ms", most: 1000, remark: "leapc signup, median"},
		{what: "  the password hash itself", value: get("signup", "kdf-ms"), unit: "ms"},
		{what: "put over append+fdatasync, p50", value: ratio, unit: "x", most: 3, remark: fmt.Sprintf("%.0f µs over %.0f µs", put, bare)},
		{what: "durable puts by 64 writers", value: get("BenchmarkPut/http/64", "writes/s"), unit: "/s", least: min(5000, cmp.Or(pebble/2, 5000)), remark: "half of Pebble alone, at most 5,000"},
		{what: "  Pebble alone, 64 writers", value: pebble, unit: "/s"},
		{what: "  the engine without HTTP, 64 writers", value: get("BenchmarkPut/engine/64", "writes/s"), unit: "/s"},
	}
	for _, how := range []string{"unchecked", "checked"} {
		for _, n := range []int{1, 8, 50} {
			name := fmt.Sprintf("BenchmarkMail/%s/%d", how, n)
			list = append(list, figure{
				what: fmt.Sprintf("mail of 10 KB, %s, %d connections", how, n), value: get(name, "server-cpu-ms/op"), unit: "ms CPU", most: mailBudget,
				remark: fmt.Sprintf("%.2f with the sender, %.0f mails/s", get(name, "cpu-ms/op"), get(name, "mails/s")),
			})
		}
	}
	list = append(list, figure{what: "  MX alone, queue in memory", value: get("BenchmarkTake/checked", "cpu-ms/op"), unit: "ms CPU", remark: "with the sender"})
	for i, cipher := range []string{"XChaCha20-Poly1305, the default", "AES-256-GCM, a key for each document"} {
		suite := i + 1
		list = append(list, figure{
			what: fmt.Sprintf("LD1 seal of 2 KB, suite%d, one core", suite), value: get(fmt.Sprintf("BenchmarkSealDoc2K/suite%d", suite), "docs/s"), unit: "/s",
			least: 100_000, remark: cipher,
		})
	}
	return list
}

// summary writes the figures as a table.
func summary(out io.Writer, list []figure) {
	fmt.Fprintf(out, "\n# %-40s %12s %-7s %-10s %-13s\n", "figure", "measured", "", "target", "")
	for _, f := range list {
		value := "-"
		if f.value != 0 {
			value = strconv.FormatFloat(f.value, 'f', places(f.value), 64)
		}
		line := fmt.Sprintf("# %-40s %12s %-7s %-10s %-13s%s", f.what, value, f.unit, f.target(), f.verdict(), f.remark)
		fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
}

// places returns how many digits after the point a value deserves.
func places(v float64) int {
	if v < 100 {
		return 2
	}
	return 0
}
