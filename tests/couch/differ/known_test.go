package differ_test

import (
	"net/http"

	"leap.example/tests/couch/differ"
)

// known are histories that meet excuses which random ones seldom meet.
var known = [][]differ.Request{
	{ // Conflicts in the order of arrival.
		{Kind: "create", Method: http.MethodPut, Path: "/p1", Body: `{"n":0}`},
		{Kind: "push", Method: http.MethodPost, Path: "/_bulk_docs", Body: `{"docs":[{"_id":"p1","_rev":"1-ffffffffffffffffffffffff10000002","_revisions":{"ids":["ffffffffffffffffffffffff10000002"],"start":1},"n":0}],"new_edits":false}`},
		{Kind: "push", Method: http.MethodPost, Path: "/_bulk_docs", Body: `{"docs":[{"_id":"p1","_rev":"2-ffffffffffffffffffffffff20000032","_revisions":{"ids":["ffffffffffffffffffffffff20000032","ffffffffffffffffffffffff10000003"],"start":2},"n":0}],"new_edits":false}`},
		{Kind: "all_docs", Method: http.MethodGet, Path: "/_all_docs?include_docs=true&conflicts=true"},
	},
	{ // Rows in the order of an index that is asked for something else.
		{Kind: "index", Method: http.MethodPost, Path: "/_index", Body: `{"ddoc":"by-s-n","index":{"fields":["s","n"]},"name":"by-s-n","type":"json"}`},
		{Kind: "create", Method: http.MethodPut, Path: "/p2", Body: `{"s":"x"}`},
		{Kind: "create", Method: http.MethodPut, Path: "/a", Body: `{"n":2,"s":"x"}`},
		{Kind: "find", Method: http.MethodPost, Path: "/_find", Body: `{"fields":["_id","s"],"limit":100,"selector":{"s":{"$exists":true,"$lte":"y"}}}`},
	},
	{ // An $or over several fields.
		{Kind: "index", Method: http.MethodPost, Path: "/_index", Body: `{"ddoc":"by-n","index":{"fields":["n"]},"name":"by-n","type":"json"}`},
		{Kind: "create", Method: http.MethodPut, Path: "/a", Body: `{"n":2,"s":"x"}`},
		{Kind: "find", Method: http.MethodPost, Path: "/_find", Body: `{"limit":100,"selector":{"$or":[{"n":{"$ne":2}},{"s":{"$in":["x"]}}]}}`},
	},
	{ // An attachment to a revision of nothing.
		{Kind: "attachment put", Method: http.MethodPut, Path: "/b/att?rev=<last b>", Body: "x", Type: "image/png"},
	},
}
