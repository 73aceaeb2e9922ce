package main

import "fmt"

// couchFigures returns the figures of the database in their order. One without
// target explains the one before it.
func (m measured) couchFigures() []figure {
	get := func(scene, unit string) float64 { return m["BenchmarkCouch/"+scene][unit] }
	row := func(scene, what, metric, unit string) figure {
		return figure{what: what, value: get(scene, metric), unit: unit, scene: scene}
	}
	most := func(f figure, v float64) figure { f.most = v; return f }
	least := func(f figure, v float64) figure { f.least = v; return f }
	var list []figure
	add := func(f ...figure) { list = append(list, f...) }

	for _, p := range []struct {
		clients, rate, ratio float64
	}{{1, 1000, 3}, {16, 5000, 10}, {64, 5000, 10}} {
		scene := fmt.Sprintf("put/%.0f", p.clients)
		f := least(row(scene, fmt.Sprintf("durable puts, clients: %.0f", p.clients), "leapd-puts/s", "/s"), p.rate)
		f.remark = fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", get(scene, "p50-ms"), get(scene, "p99-ms"))
		over := least(row(scene, "  over pouchdb-server", "x-pouchdb", "x"), p.ratio)
		over.remark = fmt.Sprintf("%.0f/s", get(scene, "pouchdb-puts/s"))
		add(f, over, beside(row(scene, "  over a store in the clear", "x-unsealed", "x"), get(scene, "unsealed-puts/s")))
		add(beside(row(scene, "  over Pebble alone", "x-pebble", "x"), get(scene, "pebble-puts/s")))
		if p.clients == 1 {
			add(beside(row(scene, "  over append+fdatasync", "x-fdatasync", "x"), get(scene, "fdatasync-puts/s")))
		}
	}
	add(least(row("bulk", "_bulk_docs of 500, documents", "leapd-docs/s", "/s"), 20_000),
		beside(row("bulk", "  over pouchdb-server", "x-pouchdb", "x"), get("bulk", "pouchdb-docs/s")),
		beside(row("bulk", "  over a store in the clear", "x-unsealed", "x"), get("bulk", "unsealed-docs/s")),
		beside(row("bulk", "  over Pebble alone", "x-pebble", "x"), get("bulk", "pebble-docs/s")))
	for _, l := range []struct {
		scene, what string
		most        float64
	}{{"get", "GET, p50", 0.5}, {"changes", "_changes of 20,000 rows, p50", 150}, {"longpoll", "long poll after the acknowledgement, p50", 5}} {
		f := most(row(l.scene, l.what, "leapd-p50-ms", "ms"), l.most)
		f.remark = fmt.Sprintf("p99 %.2f ms", get(l.scene, "leapd-p99-ms"))
		add(f, row(l.scene, "  a store in the clear", "unsealed-p50-ms", "ms"), row(l.scene, "  pouchdb-server", "pouchdb-p50-ms", "ms"))
	}
	return append(append(list, m.clusterFigures()...), m.sizeFigures()...)
}

// beside adds the rate of who a figure is compared with.
func beside(f figure, rate float64) figure {
	f.remark = fmt.Sprintf("%.0f/s", rate)
	return f
}

// clusterFigures returns those of three nodes.
func (m measured) clusterFigures() []figure {
	three, alone := m["BenchmarkCouch/three"], m[groups]
	ratio := 0.0
	if alone["p99-ms"] > 0 {
		ratio = three["64-p99-ms"] / alone["p99-ms"]
	}
	return []figure{
		{what: "three nodes, durable puts, clients: 1", value: three["serial-puts/s"], unit: "/s", least: 600, scene: "three", remark: fmt.Sprintf("p50 %.2f ms", three["serial-p50-ms"])},
		{what: "  the groups without HTTP", value: m["BenchmarkPropose/1"]["writes/s"], unit: "/s", remark: fmt.Sprintf("p50 %.2f ms", m["BenchmarkPropose/1"]["p50-ms"])},
		{
			what: "three nodes, 64 clients, p99 over groups", value: ratio, unit: "x", most: 1.5, scene: "three",
			remark: fmt.Sprintf("%.1f ms over %.1f ms", three["64-p99-ms"], alone["p99-ms"]),
		},
		{what: "  puts", value: three["64-puts/s"], unit: "/s", remark: fmt.Sprintf("p50 %.1f ms", three["64-p50-ms"])},
		{what: "  the groups without HTTP", value: alone["writes/s"], unit: "/s", remark: fmt.Sprintf("p50 %.1f ms", alone["p50-ms"])},
	}
}

// million is how many documents the figures of a large store are promised for.
const million = 1_000_000

// sizeFigures returns those of many documents, and of many databases.
func (m measured) sizeFigures() []figure {
	const scene = "million"
	v := m["BenchmarkCouch/"+scene]
	full, what := 1.0, "a million documents: memory"
	if v["docs"] < million { // There was no time for more: what is found says nothing about the targets.
		full, what = 0, fmt.Sprintf("ONLY %.0f documents: memory", v["docs"])
	}
	list := []figure{
		{
			what: what, value: v["rss-MB"], unit: "MB", most: 250 * full, scene: scene,
			remark: fmt.Sprintf("VmRSS; %.0f documents in %.0f databases; at most %.0f MB, after a restart %.0f MB", v["docs"], v["databases"], v["rss-peak-MB"], v["rss-restarted-MB"]),
		},
		{what: "  a database of 100 listed, p50", value: v["list-p50-ms"], unit: "ms", most: 2 * full, scene: scene, remark: fmt.Sprintf("p99 %.2f ms", v["list-p99-ms"])},
		{what: "  a database of 100 dropped, p50", value: v["drop-p50-ms"], unit: "ms", most: 10 * full, scene: scene, remark: fmt.Sprintf("p99 %.2f ms", v["drop-p99-ms"])},
		{what: "  restart", value: v["restart-s"], unit: "s", most: 3 * full, scene: scene},
	}
	v = m["BenchmarkCouch/databases"]
	for _, times := range []string{"1x-", "5x-", "10x-"} {
		list = append(list,
			figure{what: fmt.Sprintf("%.0f databases: made", v[times+"databases"]), value: v[times+"create/s"], unit: "/s", remark: "by 16 clients, those since the row before"},
			figure{what: "  memory", value: v[times+"rss-MB"], unit: "MB", remark: fmt.Sprintf("%.2f KiB for each; after a restart %.0f MB", v[times+"KiB-per-db"], v[times+"rss-restarted-MB"])},
			figure{what: "  restart", value: v[times+"restart-s"], unit: "s", remark: fmt.Sprintf("%.1f µs for each", 1e6*v[times+"restart-s"]/max(1, v[times+"databases"]))},
		)
	}
	return list
}
