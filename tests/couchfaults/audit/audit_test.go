package audit_test

import (
	"strings"
	"testing"

	"leap.example/tests/couchfaults/audit"
)

// digests makes those of one node: shard, index, digest, and so on.
func digests(of ...any) audit.Digests {
	d := audit.Digests{Shards: map[string]audit.Digest{}}
	for i := 0; i < len(of); i += 3 {
		d.Shards[of[i].(string)] = audit.Digest{Index: uint64(of[i+1].(int)), Digest: of[i+2].(string)}
	}
	return d
}

func TestSame(t *testing.T) {
	before := []audit.Digests{digests("0", 5, "aa"), digests(), digests()}
	for _, tt := range []struct {
		name, want string
		now        []audit.Digests
	}{
		{"equal", "", []audit.Digests{digests("0", 9, "aa", "1", 3, "bb"), digests("0", 9, "aa", "1", 3, "bb"), digests("0", 9, "aa", "1", 3, "bb")}},
		{"a planted difference", "replicas differ", []audit.Digests{digests("0", 9, "aa"), digests("0", 9, "ab"), digests("0", 9, "aa")}},
		{"in the last of several shards", "replicas differ", []audit.Digests{digests("0", 9, "aa", "1", 3, "b"), digests("0", 9, "aa", "1", 3, "b"), digests("0", 9, "aa", "1", 3, "c")}},
		{"empty digests", "replicas differ", []audit.Digests{digests("0", 9, ""), digests("0", 9, ""), digests("0", 9, "")}},
		{"of different entries", "digests are of entries", []audit.Digests{digests("0", 9, "aa"), digests("0", 8, "aa"), digests("0", 9, "aa")}},
		{"old ones", "digests are of entries", []audit.Digests{digests("0", 5, "aa"), digests("0", 5, "aa"), digests("0", 5, "aa")}},
		{"one is missing", "2 of 3 replicas", []audit.Digests{digests("0", 9, "aa"), digests("0", 9, "aa"), digests()}},
		{"none", "no digests", []audit.Digests{digests(), digests(), digests()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := audit.Same(before, tt.now, 3)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
