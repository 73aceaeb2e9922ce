package bigcouch_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is written to two databases, replicating both ways makes their trees
// equal.
func TestReplicationConverges(t *testing.T) {
	t.Parallel()
	a, b := start(t, t.TempDir()), start(t, t.TempDir())
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		if round++; round > 30 && os.Getenv("LEAP_COUCH_LONG") == "" {
			return // The long form makes as many as rapid is told to.
		}
		db := fmt.Sprintf("db%d", round)
		nodes := []*node{a, b}
		for _, n := range nodes {
			n.admin(201, "PUT", "/"+db+rapid.SampledFrom([]string{"", "?q=3"}).Draw(t, "parts"), "")
		}
		for range rapid.IntRange(1, 4).Draw(t, "meetings") {
			for i := range rapid.IntRange(0, 8).Draw(t, "edits") {
				n := nodes[rapid.IntRange(0, 1).Draw(t, "node")]
				path := fmt.Sprintf("/%s/d%d", db, rapid.IntRange(0, 2).Draw(t, "doc"))
				rev := strings.Trim(n.do("admin", "HEAD", path, "").header.Get("ETag"), `"`)
				switch rapid.IntRange(0, 3).Draw(t, "kind") {
				case 0, 1:
					n.admin(201, "PUT", path+"?rev="+rev, fmt.Sprintf(`{"n":%d,"a":%d}`, i, rapid.IntRange(0, 3).Draw(t, "value")))
				case 2:
					if rev != "" {
						n.admin(200, "DELETE", path+"?rev="+rev, "")
					}
				case 3:
					name := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name")
					n.admin(201, "PUT", path+"/"+name+"?rev="+rev, strings.Repeat("z", rapid.IntRange(1, 4).Draw(t, "size")), "Content-Type: text/plain")
				}
			}
			if rapid.Bool().Draw(t, "push") {
				a.replicate(200, body{"source": db, "target": b.at(db)})
			}
			if rapid.Bool().Draw(t, "pull") {
				a.replicate(200, body{"source": b.at(db), "target": db})
			}
		}
		a.replicate(200, body{"source": db, "target": b.at(db)})
		a.replicate(200, body{"source": b.at(db), "target": db})
		if x, y := a.tree(db), b.tree(db); x != y {
			t.Fatalf("trees differ\na %s\nb %s", x, y)
		}
		for _, n := range nodes {
			n.admin(200, "DELETE", "/"+db, "")
		}
	})
}
