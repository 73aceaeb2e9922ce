package tufrepo

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"
)

// TestItemsComplete: whatever is signed differently is shown differently.
func TestItemsComplete(t *testing.T) {
	k := signers(t, "alice", "bob", "rollout", "online")
	first, err := Init(filepath.Join(t.TempDir(), "repo"), founding(k), begin)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*Event{first, release(t, published(t, k), "new")} {
		for _, role := range e.Roles {
			if shown := completeItems(t, e, role); shown < 4 {
				t.Errorf("%s of %s: only %d edits", role, e.Name, shown)
			}
		}
	}
}

// completeItems edits everything in a role, and counts the edits that can be signed.
func completeItems(t *testing.T, e *Event, role string) (shown int) {
	t.Helper()
	text, err := e.next[role].bytes()
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	edit(whole["signed"], func() {
		text, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		other, err := parseRole(role, text)
		if err != nil || bytes.Equal(other.payload, e.next[role].payload) {
			return // No signer gets that far.
		}
		list, err := changes(e.next[role], other, e.names)
		if err != nil || len(list) == 0 {
			t.Errorf("%s: not shown: %s (%v)", role, text, err)
		}
		shown++
	})
	return shown
}

// edit changes each value below v in turn, calls f, and changes it back.
func edit(v any, f func()) {
	switch v := v.(type) {
	case map[string]any:
		v["x y\x1b[2J"] = "new" // Unknown to everybody.
		f()
		delete(v, "x y\x1b[2J")
		for name, old := range v {
			edit(old, f)
			v[name] = other(old)
			f()
			v[name] = old
		}
	case []any:
		for i, old := range v {
			edit(old, f)
			v[i] = other(old)
			f()
			v[i] = old
		}
		if len(v) > 1 {
			v[0], v[1] = v[1], v[0]
			f()
			v[0], v[1] = v[1], v[0]
		}
	}
}

func other(v any) any {
	switch v := v.(type) {
	case string:
		if _, err := time.Parse(time.RFC3339, v); err == nil {
			return "2030-01-01T00:00:00Z"
		}
		return v + "x"
	case float64:
		return v + 1
	case bool:
		return !v
	case map[string]any:
		return map[string]any{}
	}
	return nil
}

// TestTerminal: what is shown cannot move a cursor.
func TestTerminal(t *testing.T) {
	for _, s := range []string{"\x1b[2J", "a\nb", "\u202e", "a b", `a"b`, "é"} {
		for _, got := range []string{plain(s), compact(map[string]any{s: s})} {
			for _, r := range got {
				if r < ' ' || r > '~' {
					t.Errorf("%q is shown as %q", s, got)
				}
			}
		}
	}
}
