package tufclient

import (
	"context"
	"maps"
	"slices"

	"leap.example/updater/target"
)

// Unvouched returns the paths of the releases for a machine, newer than what it runs,
// that another repository lists and the first one does not: nobody vouches for their
// bytes.
func (v *View) Unvouched(ctx context.Context, m target.Machine) ([]string, error) {
	alone := map[string]bool{}
	for k := len(v.trusted) - 1; k >= 0; k-- {
		err := v.trusted[k].walk(ctx, "", func(r reached) bool {
			for path := range r.meta.Signed.Targets {
				d, err := target.ParsePath(path)
				switch {
				case k == 0:
					delete(alone, path)
				case err == nil && d.Updates(m):
					alone[path] = true
				}
			}
			return false
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(alone)), nil
}
