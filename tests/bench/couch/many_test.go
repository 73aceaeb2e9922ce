package couch_test

import (
	"fmt"
	"testing"
	"time"
)

// makers is how many clients make databases at a time.
const makers = 16

// sceneThree puts new documents into a cluster: one by one through one of its
// nodes, then from 64 clients through all of them.
func sceneThree(tb testing.TB, report reporter) {
	nodes := three(tb)
	eventually(tb, func() error { return nodes[0].do("PUT", "/db", nil, nil) })
	for _, p := range nodes {
		eventually(tb, func() error { return p.do("GET", "/db?r=2", nil, nil) })
	}
	limit := *turnTime * time.Duration(*turns)
	serial := counted("", func(i int) error { return nodes[0].do("PUT", fmt.Sprintf("/db/s%08d", i), document(i), nil) })
	took, rate := during(tb, 1, limit, serial.do)
	report(rate, "serial-puts/s")
	report(ms(at(50, took)), "serial-p50-ms")
	many := counted("", func(i int) error { return nodes[i%3].do("PUT", fmt.Sprintf("/db/m%08d", i), document(i), nil) })
	took, rate = during(tb, 64, limit, many.do)
	report(rate, "64-puts/s")
	report(ms(at(50, took)), "64-p50-ms")
	report(ms(at(99, took)), "64-p99-ms")
}

func eventually(tb testing.TB, f func() error) {
	tb.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	tb.Fatal(err)
}

// sceneMillion fills many databases with a hundred documents each.
func sceneMillion(tb testing.TB, report reporter) {
	const docs = 100
	p := single(tb, sealedNode, true)
	made := create(tb, p, 0, *databases, report, "")
	body := bulk(0, docs)
	took, rate := times(tb, makers, made, func(i int) error { return p.do("POST", name(i)+"/_bulk_docs", body, nil) })
	filled := len(took)
	report(float64(filled), "databases")
	report(float64(filled*docs), "docs")
	report(rate*docs, "fill-docs/s")
	time.Sleep(*rest)
	report(p.memory("VmRSS"), "rss-MB")
	report(p.memory("RssAnon"), "rss-anon-MB")
	report(p.memory("VmHWM"), "rss-peak-MB")

	few := min(200, filled/2)
	listed, _ := times(tb, 1, few, func(i int) error { return p.do("GET", name(i*7919%filled)+"/_all_docs", nil, nil) })
	report(ms(at(50, listed)), "list-p50-ms")
	report(ms(at(99, listed)), "list-p99-ms")
	dropped, _ := times(tb, 1, few, func(i int) error { return p.do("DELETE", name(i), nil, nil) })
	report(ms(at(50, dropped)), "drop-p50-ms")
	report(ms(at(99, dropped)), "drop-p99-ms")
	report(restart(p, name(filled-1)).Seconds(), "restart-s")
	time.Sleep(*rest)
	report(p.memory("VmRSS"), "rss-restarted-MB")
}

// sceneDatabases makes more and more databases.
func sceneDatabases(tb testing.TB, report reporter) {
	p := single(tb, sealedNode, true)
	empty := p.memory("VmRSS")
	report(empty, "0-rss-MB")
	made := 0
	for _, times := range []int{1, 5, 10} {
		step, of := *databases*times, fmt.Sprintf("%dx-", times)
		before := made
		if made = create(tb, p, made, step-made, report, of); made < step {
			tb.Logf("%d databases: there was no time for more", made)
		}
		if made == before {
			break
		}
		time.Sleep(*rest)
		rss := p.memory("VmRSS")
		report(float64(made), of+"databases")
		report(rss, of+"rss-MB")
		report((rss-empty)*1e6/1024/float64(made), of+"KiB-per-db")
		report(restart(p, name(made-1)).Seconds(), of+"restart-s")
		report(p.memory("VmRSS"), of+"rss-restarted-MB")
	}
}

// name returns the path of a database.
func name(i int) string { return fmt.Sprintf("/user-%08d", i) }

// create makes n databases from the first on, or as many as a part has time
// for, and returns how many there are then.
func create(tb testing.TB, p *process, first, n int, report reporter, prefix string) int {
	tb.Helper()
	took, rate := times(tb, makers, n, func(i int) error { return p.do("PUT", name(first+i), nil, nil) })
	report(rate, prefix+"create/s")
	return first + len(took)
}

// restart stops the node, and returns how long its next start takes until it
// answers about a database.
func restart(p *process, db string) time.Duration {
	p.tb.Helper()
	p.stop()
	p.hc.CloseIdleConnections()
	begun := p.launch()
	p.ready()
	if err := p.do("GET", db, nil, nil); err != nil {
		p.tb.Fatal(err)
	}
	return time.Since(begun)
}
