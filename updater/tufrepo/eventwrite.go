package tufrepo

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// write keeps a new event in its directory, event.json last: a directory without
// it is none.
func (e *Event) write() error {
	f := eventFile{Format: format, Name: e.Name, Why: e.Why, Made: e.Made.UTC().Truncate(time.Second), Files: e.Files, Names: e.names}
	e.Roles = order(slices.Collect(maps.Keys(e.next)))
	for _, role := range e.Roles {
		s := e.next[role]
		if err := s.seal(); err != nil {
			return err
		}
		f.Roles = append(f.Roles, eventRole{role, s.version(), s.digest()})
		if err := e.writeRole("new", role+".json", s); err != nil {
			return err
		}
		if err := put(filepath.Join(e.Dir, "payload", role), strings.NewReader(string(s.payload)), 0o644); err != nil {
			return err
		}
	}
	for _, r := range e.roots {
		if err := e.writeRole("base", strconv.FormatInt(r.version(), 10)+".root.json", r); err != nil {
			return err
		}
	}
	for role, s := range e.base {
		if role == metadata.ROOT {
			continue // Among the roots.
		}
		if err := e.writeRole("base", role+".json", s); err != nil {
			return err
		}
	}
	if e.was != nil {
		if err := put(filepath.Join(e.Dir, filepath.FromSlash(wasPlan)), bytes.NewReader(e.was), 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(e.Dir, "signatures"), 0o755); err != nil {
		return err
	}
	return putJSON(filepath.Join(e.Dir, "event.json"), f, 0o644)
}

func (e *Event) writeRole(sub, name string, s *signed) error {
	text, err := s.bytes()
	if err != nil {
		return err
	}
	return put(filepath.Join(e.Dir, sub, name), strings.NewReader(string(text)), 0o644)
}

// mergeNames returns the names of keys that are harmless to print.
func mergeNames(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, names := range all {
		maps.Copy(out, names)
	}
	maps.DeleteFunc(out, func(_, name string) bool { return !keyName.MatchString(name) })
	return out
}

// order sorts roles as clients verify them.
func order(roles []string) []string {
	rank := func(role string) int { return slices.Index([]string{metadata.ROOT, metadata.TARGETS, role}, role) }
	return slices.SortedFunc(slices.Values(roles), func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}
