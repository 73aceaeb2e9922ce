package director

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"leap.example/updater/tufrepo"
)

// Rotate changes who the admins are, and how many have to sign; 0: as many as before.
func (d *Director) Rotate(ctx context.Context, add, remove []string, threshold int) (*Outcome, error) {
	keys, err := adminKeys(d.i, add)
	if err != nil {
		return nil, err
	}
	if err := d.admins(remove); err != nil {
		return nil, err
	}
	name, err := d.name("admins")
	if err != nil {
		return nil, err
	}
	var who []string
	for _, n := range add {
		who = append(who, "+"+n)
	}
	for _, n := range remove {
		who = append(who, "-"+n)
	}
	e, err := d.repo.Rotate(name, "other admins: "+strings.Join(who, " "), tufrepo.KeyChange{Roles: []string{"root", "targets", "allow"}, Add: keys, Remove: remove, Threshold: threshold}, d.now())
	return d.begin(ctx, e, err)
}

// admins is an error if one of the names, or beginnings of IDs, is none of an admin.
func (d *Director) admins(names []string) error {
	roles, err := d.Roles()
	if err != nil {
		return err
	}
	for _, name := range names {
		is := func(key string) bool { return strings.HasPrefix(key, name+" (") || strings.Contains(key, "("+name) }
		if !slices.ContainsFunc(roles, func(r tufrepo.RoleStatus) bool { return r.Role == "root" && slices.ContainsFunc(r.Keys, is) }) {
			return fmt.Errorf("%s is no admin of the director (leap update director status)", name)
		}
	}
	return nil
}
