package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"leap.example/appliance/node"
)

// difference lists what two documents say differently: "- POINTER: VALUE" is
// only in the first, "+ POINTER: VALUE" only in the second.
func difference(before, after node.Document) (list []string) {
	old, now := flat(before), flat(after)
	all := maps.Clone(old)
	maps.Copy(all, now)
	for _, p := range slices.Sorted(maps.Keys(all)) {
		a, was := old[p]
		b, is := now[p]
		if was && (!is || a != b) {
			list = append(list, "- "+p+": "+a)
		}
		if is && (!was || a != b) {
			list = append(list, "+ "+p+": "+b)
		}
	}
	return list
}

// flat returns the scalars of a document by their pointers. One that says
// nothing has none.
func flat(d node.Document) map[string]string {
	out := map[string]string{}
	if d.Schema == 0 {
		return out
	}
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // Every document can be written.
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		panic(err) // It was just written.
	}
	flatten(out, "", v)
	return out
}

// longest is how much of a text is shown.
const longest = 70

func flatten(out map[string]string, pointer string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, e := range v {
			flatten(out, pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), e)
		}
	case []any:
		for k, e := range v {
			flatten(out, pointer+"/"+strconv.Itoa(k), e)
		}
	default:
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // It was just read.
		}
		s := string(text)
		if len(s) > longest {
			s = s[:longest] + "… (" + strconv.Itoa(len(s)) + " bytes, " + node.SecretDigest(text)[:8] + ")"
		}
		out[pointer] = s
	}
}
