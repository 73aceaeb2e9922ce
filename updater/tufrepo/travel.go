package tufrepo

import (
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"leap.example/updater/target"
)

// A Travel is a file by which a release can travel in less bytes.
type Travel struct {
	Path   string `json:"path"`   // Of the file.
	Length int64  `json:"length"` // Its own, in bytes.
	Of     string `json:"of"`     // The release that comes out. Empty: none that is known.
	Full   int64  `json:"full"`   // The length of that, in bytes.
	From   string `json:"from"`   // The release that is needed for it. Empty: none, it is packed.
}

// Travels says what the packed files and the deltas are for that the event brings.
func (e *Event) Travels() []Travel {
	releases := map[string]File{} // By SHA-256, and by path.
	for _, roles := range []map[string]*signed{e.base, e.next} {
		for _, role := range slices.Sorted(maps.Keys(roles)) {
			for _, p := range targetsOf(roles[role]) {
				if _, err := target.ParsePath(p); err != nil {
					continue
				}
				f := fileOf(p, roles[role].targets.Signed.Targets[p])
				releases[f.SHA256], releases[p] = f, f
			}
		}
	}
	var all []Travel
	for _, f := range e.Files {
		t := Travel{Path: f.Path, Length: f.Length}
		of, packed := strings.CutSuffix(f.Path, target.PackedPath(""))
		from, to, err := target.ParseDeltaPath(f.Path)
		switch {
		case err == nil:
			t.From, of = releases[hex.EncodeToString(from[:])].Path, hex.EncodeToString(to[:])
			if t.From == "" {
				t.From = hex.EncodeToString(from[:])
			}
		case !packed:
			continue
		}
		t.Of, t.Full = releases[of].Path, releases[of].Length
		all = append(all, t)
	}
	return all
}
