package differ

import (
	"net/http"
	"slices"
	"strings"
)

// kinds is for excuses that apply to some kinds of requests.
func kinds(list ...string) func(Request) bool {
	return func(r Request) bool {
		for _, k := range list {
			if strings.HasPrefix(r.Kind, k) {
				return true
			}
		}
		return false
	}
}

// without replaces the values of members by nothing, wherever they are.
func without(names ...string) func(*Answer) {
	return func(a *Answer) {
		a.Body = walk(a.Body, func(name string, v any) any {
			if slices.Contains(names, name) {
				return nil
			}
			return v
		}, func(s string) string { return s })
	}
}

// dropped removes members of the outermost object.
func dropped(names ...string) func(*Answer) {
	return func(a *Answer) {
		if m, ok := a.Body.(map[string]any); ok {
			for _, n := range names {
				delete(m, n)
			}
		}
	}
}

// answered is for excuses that apply to answers of theirs with a status.
func answered(status int) func(Answer) bool {
	return func(theirs Answer) bool { return theirs.Status == status }
}

// anything leaves nothing to compare.
func anything(a *Answer) { *a = Answer{} }

// failed leaves only that a request failed.
func failed(a *Answer) {
	if a.Status >= 400 {
		*a = Answer{Status: http.StatusBadRequest}
	}
}

// rows changes each element of a list of the outermost object.
func rows(list string, f func(row map[string]any)) func(*Answer) {
	return func(a *Answer) {
		m, _ := a.Body.(map[string]any)
		all, _ := m[list].([]any)
		for _, row := range all {
			if row, ok := row.(map[string]any); ok {
				f(row)
			}
		}
	}
}

// sorted sorts a list.
func sorted(a *Answer) {
	if all, ok := a.Body.([]any); ok {
		slices.SortFunc(all, func(x, y any) int { return strings.Compare(Object(x), Object(y)) })
	}
}

// sortedRows sorts a list of the outermost object.
func sortedRows(a *Answer, list string) {
	if m, ok := a.Body.(map[string]any); ok {
		rows := Answer{Body: m[list]}
		sorted(&rows)
	}
}

// excuses mirror database.md section 12, and section 11 where it says so.
var excuses = []Excuse{
	{
		Row: "seq", Why: "an opaque value, a number there and a string here",
		Of: kinds("changes", "info"), Blur: without("seq", "last_seq", "update_seq"),
	},
	{
		Row: "eventsource, seq_interval, pending", Why: "there is none there",
		Of: kinds("changes"), Blur: dropped("pending"),
	},
	{
		Row: "DELETE without rev", Why: "it deletes there", Ends: true,
		Of:   func(r Request) bool { return r.Kind == "delete" && !r.has("rev") },
		When: answered(http.StatusOK), Blur: anything,
	},
	{
		Row: "section 11, PUT over a tombstone", Why: "with its revision: 409 here, an edit there", Ends: true,
		Of: kinds("over tombstone"), When: answered(http.StatusCreated), Blur: anything,
	},
	{
		Row: "section 11, PUT over a tombstone", Why: "an attachment makes a document here, there is none there", Ends: true,
		Of: kinds("attachment put"), When: answered(http.StatusNotFound), Blur: anything,
	},
	{
		Row: "section 11, PUT over a tombstone", Why: "with a revision that is none of its: 409 here, an edit there", Ends: true,
		Of: kinds("wrong rev"), When: answered(http.StatusCreated), Blur: anything,
	},
	{
		Row: "section 11, rev= of a non-leaf", Why: "missing here at once, there when it was compacted",
		Of: kinds("old revision"), When: answered(http.StatusOK), Blur: anything,
	},
	{
		Row: "section 11, open_revs", Why: "in the order in which they are found there", Timing: true,
		Of: kinds("open_revs"), Blur: sorted,
	},
	{
		Row: "_local update without rev", Why: "a conflict there, and so is a revision that is not the present one", Ends: true,
		Of: kinds("local"), Blur: anything,
	},
	{
		Row: "_bulk_get, missing document", Why: "anything without ok is missing, and what is deleted is there without ok",
		Of: kinds("bulk_get"), Blur: rows("results", func(row map[string]any) {
			docs, _ := row["docs"].([]any)
			row["docs"] = slices.DeleteFunc(docs, func(doc any) bool {
				m, _ := doc.(map[string]any)
				found, _ := m["ok"].(map[string]any)
				return found == nil || found["_deleted"] == true
			})
		}),
	},
	{
		Row: "section 11, _bulk_get", Why: "without rev all leaves here, the winner there",
		Of: kinds("bulk_get"), Blur: rows("results", func(row map[string]any) {
			docs, _ := row["docs"].([]any)
			row["docs"] = docs[:min(1, len(docs))]
		}),
	},
	{
		Row: "possible_ancestors, _missing_revs", Why: "there are none there",
		Of: kinds("revs_diff"), Blur: func(a *Answer) {
			m, _ := a.Body.(map[string]any)
			for _, v := range m {
				if v, ok := v.(map[string]any); ok {
					delete(v, "possible_ancestors")
				}
			}
		},
	},
	{
		Row: "PUT with rev on a missing document", Why: "an attachment makes one there", Ends: true,
		Of: kinds("attachment put"), When: answered(http.StatusCreated), Blur: anything,
	},
	{
		Row: "section 11, POST _bulk_docs", Why: "results in order here, in the order in which they are known there", Timing: true,
		Of: kinds("bulk"), Blur: sorted,
	},
	{
		Row: "section 11, _all_docs keys", Why: "doc: null for deleted ones there, asked for or not",
		Of: kinds("all_docs keys"), Blur: rows("rows", func(row map[string]any) {
			if row["doc"] == nil {
				delete(row, "doc")
			}
		}),
	},
	{
		Row: "section 11, PUT document with _deleted", Why: "200 here, 201 there",
		Of: func(r Request) bool { return r.Kind == "put" && strings.Contains(r.Body, `"_deleted"`) },
		Blur: func(a *Answer) {
			if a.Status == http.StatusCreated {
				a.Status = http.StatusOK
			}
		},
	},
	{
		Row: "section 11, attachments", Why: "none of that name to delete: 404 here, 409 if there is no document; there 404, 500, or an edit", Ends: true,
		Of: func(r Request) bool { return r.Kind == "attachment" && r.Method == http.MethodDelete }, Blur: anything,
	},
	{
		Row: "section 11, _all_docs keys", Why: "offset: null here, a number there",
		Of: kinds("all_docs"), Blur: dropped("offset"),
	},
	{
		Row: "section 11, _changes", Why: "with style=all_docs the winner comes first here, the longest branch there",
		Of: kinds("changes"), Blur: rows("results", func(row map[string]any) {
			leaves := Answer{Body: row["changes"]}
			sorted(&leaves)
		}),
	},
	{
		Row: "section 11, deleted_conflicts", Why: "there are none there",
		Of: func(r Request) bool { return r.has("deleted_conflicts") }, Blur: dropped("_deleted_conflicts"),
	},
	{
		Row: "seq", Why: "documents of one _bulk_docs may come in another order", Timing: true,
		Of: kinds("changes"), Blur: func(a *Answer) { sortedRows(a, "results") },
	},
	{
		Row: "seq", Why: "the same, so that other documents lie before the limit", Timing: true,
		Of: kinds("changes limited"), Blur: func(a *Answer) {
			if m, ok := a.Body.(map[string]any); ok {
				all, _ := m["results"].([]any)
				a.Body = len(all)
			}
		},
	},
	{
		Row: "section 11, GET /db", Why: "other members there",
		Of: kinds("info"), Blur: func(a *Answer) {
			if m, ok := a.Body.(map[string]any); ok {
				a.Body = m["doc_count"]
			}
		},
	},
	{
		Row: "section 11, _find", Why: "an $or over several fields may be refused there",
		Of:   func(r Request) bool { return r.Kind == "find" && strings.Contains(r.Body, `"$or"`) },
		When: answered(http.StatusBadRequest), Blur: anything,
	},
	{
		Row: "bookmark, execution_stats", Why: "absent there",
		Of: kinds("find"), Blur: dropped("bookmark"),
	},
	{
		Row: "section 11, _find", Why: "the warning: an index serves here if the selector names its fields anywhere",
		Of: kinds("find"), Blur: dropped("warning"),
	},
	{
		Row: "names of errors", Why: "bad_request there for almost everything",
		Of: kinds("malformed", "find sorted"), Blur: failed,
	},
}
