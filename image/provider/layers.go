package provider

import (
	"slices"
	"strings"

	"leap.example/appliance/node"
)

// files are the parsed JSON files of an instance, by their names without
// ".json": "services/mx.production".
type files map[string]*value

// layer adds a file and its variant for an environment to a value.
func (f files) layer(base *value, name, env string) (*value, error) {
	names := []string{name}
	if env != "" {
		names = append(names, name+"."+env)
	}
	for _, n := range names {
		over, ok := f[n]
		if !ok {
			continue
		}
		var err error
		if base, err = merge(base, over, ""); err != nil {
			return nil, err
		}
	}
	return base, nil
}

// known reports whether there is a file or a variant of it.
func (f files) known(name string) bool {
	if _, ok := f[name]; ok {
		return true
	}
	for n := range f {
		if strings.HasPrefix(n, name+".") {
			return true
		}
	}
	return false
}

// texts returns a member that is a list of names, with where each is.
func texts(v *value, name string) (list []string, at []*value, err error) {
	m := v.get(name)
	if m == nil || m.null() {
		return nil, nil, nil
	}
	for _, e := range items(m) {
		var s string
		if errs := decode(e, &s); len(errs) > 0 || m.members != nil {
			return nil, nil, m.errorf("/"+name, "a list of names is required")
		}
		list, at = append(list, s), append(at, e)
	}
	return list, at, nil
}

// deciding are the members by which the layers of a node are chosen, and where
// they count.
var deciding = map[string][]string{"services": {"nodes"}, "tags": {"nodes", "tags"}, "environment": {"nodes", "tags"}}

// misplaced finds members that choose layers and that nobody would read: in a file
// of another kind, or with a prefix, since there is nothing before them yet that
// could be added to.
func (f files) misplaced() (errs []error) {
	for file, v := range f {
		dir, _, below := strings.Cut(file, "/")
		if !below {
			dir, _, _ = strings.Cut(file, ".")
		}
		if !slices.Contains([]string{"common", "services", "tags", "nodes"}, dir) {
			continue
		}
		for _, m := range v.members {
			prefix, name := split(m.name)
			where, ok := deciding[name]
			switch {
			case !ok:
			case !slices.Contains(where, dir):
				errs = append(errs, m.from.at(m.offset, "/"+name, "%s has no effect here: write it into files below %s/", name, strings.Join(where, "/ or ")))
			case prefix != 0:
				errs = append(errs, m.from.at(m.offset, "/"+name, "%s takes no prefix, since by it the other files are chosen: write %q with all of it", name, name))
			}
		}
	}
	return errs
}

// tags returns all tags of a node in the order in which they are applied: the
// tags that a tag names come before it.
func (f files) tags(v *value) ([]string, error) {
	var order, path []string
	var visit func(v *value) error
	visit = func(v *value) error {
		list, at, err := texts(v, "tags")
		if err != nil {
			return err
		}
		for i, tag := range list {
			switch {
			case slices.Contains(path, tag):
				return at[i].errorf("/tags", "tags in a circle: %s", strings.Join(append(path[slices.Index(path, tag):], tag), " → "))
			case slices.Contains(order, tag):
				continue
			case !f.known("tags/" + tag):
				return at[i].errorf("/tags", "there is no tag %q: write tags/%s.json", tag, tag)
			}
			path = append(path, tag)
			for _, name := range f.variants("tags/" + tag) {
				if err := visit(f[name]); err != nil {
					return err
				}
			}
			path = path[:len(path)-1]
			order = append(order, tag)
		}
		return nil
	}
	return order, visit(v)
}

// variants returns a file and its variants, sorted.
func (f files) variants(name string) (list []string) {
	for n := range f {
		if n == name || strings.HasPrefix(n, name+".") {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// environment returns that of a node: its own, or that of one of its tags.
func (f files) environment(own *value, tags []string) (string, error) {
	read := func(v *value) (string, *value, error) {
		m := v.get("environment")
		var env string
		if m == nil {
			return "", nil, nil
		}
		if errs := decode(m, &env); len(errs) > 0 {
			return "", nil, errs[0]
		}
		return env, m, nil
	}
	env, at, err := read(own)
	if err != nil || at != nil {
		return env, err
	}
	for _, tag := range tags {
		v, ok := f["tags/"+tag]
		if !ok {
			continue
		}
		next, m, err := read(v)
		switch {
		case err != nil:
			return "", err
		case m == nil, next == env:
			continue
		case env != "":
			return "", own.get("tags").errorf("/tags", "one of these tags makes the environment %s, another one %s", env, next)
		}
		env = next
	}
	return env, nil
}

// resolve merges all layers of a node.
func (f files) resolve(name string) (*value, error) {
	own := f["nodes/"+name]
	// What a node is, is said in its own file.
	services, at, err := texts(own, "services")
	if err != nil {
		return nil, err
	}
	for i, s := range services {
		if _, classic := Classic[s]; !classic {
			if _, ok := node.ID(s); !ok {
				return nil, at[i].errorf("/services", "there is no service %q; there are %s", s, strings.Join(KnownServices(), ", "))
			}
		}
		if slices.Index(services, s) != i {
			return nil, at[i].errorf("/services", "%q is here twice", s)
		}
	}
	tags, err := f.tags(own)
	if err != nil {
		return nil, err
	}
	env, err := f.environment(own, tags)
	if err != nil {
		return nil, err
	}
	v, err := f.layer(&value{from: own.from, offset: own.offset, members: []member{}}, "common", env)
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		if v, err = f.layer(v, "services/"+s, env); err != nil {
			return nil, err
		}
	}
	for _, t := range tags {
		if v, err = f.layer(v, "tags/"+t, env); err != nil {
			return nil, err
		}
	}
	return merge(v, own, "")
}

// KnownServices are all names of services that a node may list.
func KnownServices() []string {
	list := node.Services()
	for name := range Classic {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}
