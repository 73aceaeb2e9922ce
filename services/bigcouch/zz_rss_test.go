package bigcouch_test

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

func rss() string {
	b, _ := os.ReadFile("/proc/self/status")
	for l := range strings.Lines(string(b)) {
		if strings.HasPrefix(l, "VmRSS") {
			return strings.TrimSpace(l)
		}
	}
	return ""
}

func TestRSS(t *testing.T) {
	fmt.Println("before", rss())
	n := start(t, t.TempDir())
	time.Sleep(time.Second)
	fmt.Println("idle", rss())
	begun := time.Now()
	for i := range 100 {
		n.admin(201, "PUT", fmt.Sprintf("/user-%d", i), "")
	}
	fmt.Println("100 dbs", rss(), time.Since(begun)/100)
	n.admin(201, "PUT", "/db", "")
	begun = time.Now()
	for i := range 200 {
		var b strings.Builder
		b.WriteString(`{"docs":[`)
		for j := range 500 {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"_id":"%d-%d",%s`, i, j, string(benchDocument(i*500 + j))[1:])
		}
		n.admin(201, "POST", "/db/_bulk_docs", b.String()+"]}")
	}
	fmt.Println("100,000 docs", rss(), 100000/time.Since(begun).Seconds(), "docs/s")
	begun = time.Now()
	n.admin(200, "GET", "/db/_changes", "")
	fmt.Println("changes", time.Since(begun), rss())
	begun = time.Now()
	n.admin(200, "GET", "/db/_all_docs?include_docs=true&limit=1000", "")
	fmt.Println("all_docs 1000", time.Since(begun), rss())
	begun = time.Now()
	n.admin(200, "POST", "/db/_find", `{"selector":{"n":99999}}`)
	fmt.Println("find full scan", time.Since(begun), rss())
	n.admin(200, "POST", "/db/_index", `{"index":{"fields":["n"]},"ddoc":"i","name":"n"}`)
	begun = time.Now()
	n.admin(200, "POST", "/db/_find", `{"selector":{"n":99999}}`)
	fmt.Println("find builds", time.Since(begun), rss())
	begun = time.Now()
	n.admin(200, "POST", "/db/_find", `{"selector":{"n":99999}}`)
	fmt.Println("find indexed", time.Since(begun), rss())
	for range 20 {
		begun = time.Now()
		lines, cancel := n.follow("/db/_changes?feed=longpoll&since=now")
		<-lines
		go n.admin(201, "POST", "/db", `{}`)
		begun = time.Now()
		<-lines
		fmt.Print(" wake ", time.Since(begun))
		cancel()
	}
	fmt.Println()
	begun = time.Now()
	n.admin(200, "DELETE", "/db", "")
	fmt.Println("drop", time.Since(begun))
	time.Sleep(2 * time.Second)
	debug.FreeOSMemory()
	fmt.Println("after", rss())
}
