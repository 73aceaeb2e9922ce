package bigcouch_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"leap.example/services/bigcouch/order"
)

// listMap emits each element of a document's list; a document with bad set
// throws at its end.
const listMap = `function(doc) { if (doc.list) doc.list.forEach(function(k, i) { emit(k, i) }); if (doc.bad) throw "bad" }`

// A modelRow is a row as the naive model has it.
type modelRow struct {
	id    string
	key   any
	order []byte
	value int
}

func (r modelRow) String() string {
	key, err := json.Marshal(r.key)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"id":%q,"key":%s,"value":%d}`, r.id, key, r.value)
}

// modelOf maps documents naively.
func modelOf(docs map[string][]any) []modelRow {
	var rows []modelRow
	for id, list := range docs {
		for i, k := range list {
			rows = append(rows, modelRow{id, k, order.Append(nil, k), i})
		}
	}
	slices.SortFunc(rows, func(a, b modelRow) int {
		if c := bytes.Compare(a.order, b.order); c != 0 {
			return c
		}
		if c := strings.Compare(a.id, b.id); c != 0 {
			return c
		}
		return a.value - b.value
	})
	return rows
}

// A modelQuery is a range with what CouchDB lets one add to it.
type modelQuery struct {
	start, end            any // Nil: none. Keys are never null.
	startID, endID        string
	descending, exclusive bool
	limit, skip           int // limit -1: none.
}

func (q modelQuery) encode() string {
	v := url.Values{}
	for name, key := range map[string]any{"startkey": q.start, "endkey": q.end} {
		if key != nil {
			data, err := json.Marshal(key)
			if err != nil {
				panic(err)
			}
			v.Set(name, string(data))
		}
	}
	if q.startID != "" {
		v.Set("startkey_docid", q.startID)
	}
	if q.endID != "" {
		v.Set("endkey_docid", q.endID)
	}
	if q.descending {
		v.Set("descending", "true")
	}
	if q.exclusive {
		v.Set("inclusive_end", "false")
	}
	if q.limit >= 0 {
		v.Set("limit", fmt.Sprint(q.limit))
	}
	v.Set("skip", fmt.Sprint(q.skip))
	return v.Encode()
}

// possible reports whether the range is one.
func (q modelQuery) possible() bool {
	if q.start == nil || q.end == nil {
		return true
	}
	c := bytes.Compare(order.Append(nil, q.start), order.Append(nil, q.end))
	if c == 0 && q.startID != "" && q.endID != "" {
		c = strings.Compare(q.startID, q.endID)
	}
	return c == 0 || c > 0 == q.descending
}

// answer picks the rows of the query.
func (q modelQuery) answer(rows []modelRow) (string, bool) {
	rows = slices.Clone(rows)
	total := len(rows)
	if q.descending {
		slices.Reverse(rows)
	}
	// compare places a row before, at or behind a bound, in the direction of
	// the query.
	compare := func(r modelRow, key any, id string) int {
		c := bytes.Compare(r.order, order.Append(nil, key))
		if c == 0 && id != "" {
			c = strings.Compare(r.id, id)
		}
		if q.descending {
			c = -c
		}
		return c
	}
	offset := 0
	var found []string
	for _, r := range rows {
		if q.start != nil && compare(r, q.start, q.startID) < 0 {
			offset++
			continue
		}
		if q.end != nil {
			if c := compare(r, q.end, q.endID); c > 0 || c == 0 && q.exclusive {
				continue
			}
		}
		found = append(found, r.String())
	}
	found = found[min(q.skip, len(found)):]
	if q.limit >= 0 {
		found = found[:min(q.limit, len(found))]
	}
	return viewRows(total, min(offset+q.skip, total), found...), q.possible()
}

var modelKey = rapid.OneOf(
	rapid.Map(rapid.IntRange(0, 5), func(n int) any { return float64(n) }),
	rapid.Map(rapid.SampledFrom([]string{"", "a", "A", "b", "é", "a\x00"}), func(s string) any { return s }),
	rapid.SampledFrom([]any{true, false, []any{}, []any{1.0}, []any{1.0, "a"}, map[string]any{"a": 1.0}}),
)

// Random writes leave the rows that a naive map over all documents has, row by
// row as well as rebuilt, and every range finds what it should.
func TestViewModel(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	number := 0
	rapid.Check(t, func(t *rapid.T) {
		number++
		db := fmt.Sprintf("/db%d", number)
		n.admin(201, "PUT", db, "")
		n.admin(201, "PUT", db+"/_design/d", ddoc("v", listMap, "_count"))
		docs, revs := map[string][]any{}, map[string]string{}
		for range rapid.IntRange(1, 5).Draw(t, "rounds") {
			var bulk []string
			touched, dead := map[string]bool{}, map[string]bool{}
			for range rapid.IntRange(1, 8).Draw(t, "writes") {
				id := rapid.SampledFrom([]string{"a", "b", "c", "d", "aa", "é"}).Draw(t, "id")
				if touched[id] {
					continue
				}
				touched[id] = true
				doc := map[string]any{"_id": id}
				if revs[id] != "" {
					doc["_rev"] = revs[id]
				}
				delete(docs, id)
				switch rapid.IntRange(0, 5).Draw(t, "kind") {
				case 0:
					doc["_deleted"], dead[id] = true, true
				case 1:
					doc["bad"], doc["list"] = true, []any{1}
				default:
					list := rapid.SliceOfN(modelKey, 0, 4).Draw(t, "list")
					doc["list"], docs[id] = list, list
				}
				data, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				bulk = append(bulk, string(data))
			}
			var results []struct{ ID, Rev, Error string }
			a := n.admin(201, "POST", db+"/_bulk_docs", `{"docs":[`+strings.Join(bulk, ",")+`]}`)
			if err := json.Unmarshal([]byte(a.body), &results); err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if r.Error != "" {
					t.Fatalf("write of %s: %s", r.ID, r.Error)
				}
				if revs[r.ID] = r.Rev; dead[r.ID] {
					revs[r.ID] = "" // A tombstone is written over without one.
				}
			}
			rows := modelOf(docs)
			whole, _ := modelQuery{limit: -1}.answer(rows)
			if got := n.admin(200, "GET", db+"/_design/d/_view/v?reduce=false", "").body; got != whole {
				t.Fatalf("all rows\n got %s\nwant %s", got, whole)
			}
			for range 3 {
				q := modelQuery{
					descending: rapid.Bool().Draw(t, "descending"), exclusive: rapid.Bool().Draw(t, "exclusive"),
					limit: rapid.IntRange(-1, 4).Draw(t, "limit"), skip: rapid.IntRange(0, 2).Draw(t, "skip"),
				}
				if rapid.Bool().Draw(t, "has start") {
					q.start = modelKey.Draw(t, "start")
					q.startID = rapid.SampledFrom([]string{"", "", "b", "zz"}).Draw(t, "start id")
				}
				if rapid.Bool().Draw(t, "has end") {
					q.end = modelKey.Draw(t, "end")
					q.endID = rapid.SampledFrom([]string{"", "", "b", "zz"}).Draw(t, "end id")
				}
				got := n.do("admin", "GET", db+"/_design/d/_view/v?reduce=false&"+q.encode(), "")
				want, possible := q.answer(rows)
				if !possible {
					if got.status != 400 {
						t.Fatalf("%s: %d %s, want 400", q.encode(), got.status, got.body)
					}
				} else if got.body != want {
					t.Fatalf("%s\n got %s\nwant %s", q.encode(), got.body, want)
				}
			}
		}
		n.admin(201, "PUT", db+"/_design/e", ddoc("v", listMap+" // anew", ""))
		anew := n.admin(200, "GET", db+"/_design/e/_view/v", "").body
		if step := n.admin(200, "GET", db+"/_design/d/_view/v?reduce=false", "").body; step != anew {
			t.Fatalf("built at once %s\nstep by step  %s", anew, step)
		}
		n.admin(200, "DELETE", db, "")
	})
}

// Queries while documents are written see whole documents, and at least what
// was acknowledged before they asked.
func TestViewConcurrent(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/_design/d", ddoc("v", `function(doc) { emit(doc.n, 1); emit(doc.n, 2) }`, "_count"))
	var mu sync.Mutex
	acknowledged := 0
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := range 60 {
				a := n.do("admin", "PUT", fmt.Sprintf("/db/w%d-%d", w, i), fmt.Sprintf(`{"n":%d}`, i))
				if a.status != 201 {
					t.Errorf("write: %d %s", a.status, a.body)
					return
				}
				mu.Lock()
				acknowledged++
				mu.Unlock()
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			for range 25 {
				mu.Lock()
				least := acknowledged * 2
				mu.Unlock()
				a := n.do("admin", "GET", "/db/_design/d/_view/v", "")
				var v struct{ Rows []struct{ Value int } }
				if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.status != 200 {
					t.Errorf("query: %d %s", a.status, a.body)
					return
				}
				got := 0
				if len(v.Rows) > 0 {
					got = v.Rows[0].Value
				}
				if got < least || got%2 != 0 {
					t.Errorf("%d rows, want an even number from %d", got, least)
				}
			}
		})
	}
	wg.Wait()
	if a := n.admin(200, "GET", "/db/_design/d/_view/v", ""); a.body != reduced(`{"key":null,"value":360}`) {
		t.Errorf("at last: %s", a.body)
	}
}
