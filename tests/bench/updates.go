package main

import "fmt"

// updates measures updates. It builds the node's program twice.
func (r *recorder) updates() error {
	out, err := r.command("go", "test", "-v", "-run", "^$", "-bench", "^BenchmarkUpdates$", "-benchtime", "1x", "-timeout", "1h", "./tests/bench/updates")
	r.found.read(out)
	return err
}

// updateFigures returns the figures of updates in their order. One without target
// explains the one before it.
func (m measured) updateFigures() []figure {
	get := func(name, unit string) float64 { return m["BenchmarkUpdates/"+name][unit] }
	list := []figure{
		{what: "asking when there is no news, client", value: get("refresh/client", "requests"), unit: "requests", most: 3, remark: "and whose turn it is by the plan"},
		{what: "  bytes on the wire", value: get("refresh/client", "B-wire"), unit: "B", most: 20_000, remark: "HTTP without TLS, both ways"},
		{what: "asking when there is no news, node", value: get("refresh/node", "requests"), unit: "requests", most: 3, remark: fmt.Sprintf("for each of its two repositories, from one source each: %.0f in all", get("refresh/node", "requests-in-all"))},
		{what: "  bytes on the wire, node", value: get("refresh/node", "B-wire"), unit: "B", most: 20_000, remark: fmt.Sprintf("for each repository: %.0f B in all", get("refresh/node", "B-wire-in-all"))},
		{
			what: "delta over the packed release", value: get("build", "%-of-packed"), unit: "%", most: 2,
			remark: fmt.Sprintf("one function added: %.0f KB of %.1f MB, which is a release of %.1f MB by zstd", get("build", "delta-KB"), get("release", "packed-MB"), get("release", "MB")),
		},
		{what: "  to make it", value: get("build", "s"), unit: "s", remark: fmt.Sprintf("%.1f s of processor time, %.0f MB", get("build", "cpu-s"), get("build", "MB"))},
		{what: "applying a delta, memory", value: get("apply", "MB"), unit: "MB", most: 64, remark: fmt.Sprintf("VmHWM of the process; %.1f MB more than it had before", get("apply", "more-MB"))},
		{what: "applying a delta, processor time", value: get("apply", "cpu-s"), unit: "s", most: 5, remark: "with the SHA-256 of both files before and of the result"},
	}
	for _, way := range []string{"full", "packed", "delta"} {
		list = append(list, figure{
			what: "memory of a download, " + way, value: get(way, "more-MB"), unit: "MB", most: 16,
			remark: fmt.Sprintf("above idle: VmHWM less VmRSS before; with the check for news; %.2f s of processor time", get(way, "cpu-s")),
		})
	}
	return append(list,
		figure{what: "go-tuf adds to a program", value: get("size", "tuf-MB"), unit: "MB", most: 5, remark: fmt.Sprintf("stripped, to one of %.1f MB with net/http and JSON", get("size", "bare-MB"))},
		figure{what: "  the whole client of updates adds", value: get("size", "client-MB"), unit: "MB", remark: "go-tuf, zstd, and ours"},
	)
}
