package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// lists are properties whose seeds are lists.
var lists = []string{"services", "tags", "contacts"}

// parseSeed reads a seed like "services:webapp,couchdb", "ip_address:192.0.2.1"
// or "location.name:Amsterdam".
func parseSeed(seed string) (Member, error) {
	name, text, ok := strings.Cut(seed, ":")
	if !ok || name == "" || text == "" {
		return Member{}, fmt.Errorf("%q is no seed: write property:value, like services:webapp,couchdb", seed)
	}
	m := Member{Pointer: "/" + strings.ReplaceAll(escape(name), ".", "/")}
	var literal any
	switch {
	case slices.Contains(lists, name):
		m.Value = strings.Split(text, ",")
	case json.Unmarshal([]byte(text), &literal) == nil:
		m.Value = json.RawMessage(text)
	default:
		m.Value = text
	}
	return m, nil
}

// AddNode writes nodes/NAME.json from seeds, with an address in the mesh, and
// makes the node's keys and certificates. If the instance would make no sense
// with it, nothing stays. It returns the instance with the node.
func (i *Instance) AddNode(v *Vault, name string, seeds []string, now time.Time) (*Instance, error) {
	if !label.MatchString(name) {
		return nil, fmt.Errorf("%q is no name of a node: lower-case letters, digits and dashes", name)
	}
	file := "nodes/" + name + ".json"
	full := filepath.Join(i.Dir, filepath.FromSlash(file))
	if _, err := os.Stat(full); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is there already", file)
	}
	var members []Member
	for _, seed := range seeds {
		m, err := parseSeed(seed)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	undo := func(err error) (*Instance, error) { return nil, errors.Join(err, os.Remove(full)) }
	if err := Write(i.Dir, file, []byte("{}\n"), 0o644); err != nil {
		return nil, err
	}
	if err := Set(i.Dir, file, members...); err != nil {
		return undo(err)
	}
	env, err := i.environmentOf(name, file)
	if err != nil {
		return undo(err)
	}
	if !slices.ContainsFunc(members, func(m Member) bool { return m.Pointer == "/mesh/address" }) {
		a := i.FreeMesh(env)
		if !a.IsValid() {
			return undo(fmt.Errorf("the mesh's network, %v, has no address left", i.Provider(env).Mesh.Network))
		}
		if err := Set(i.Dir, file, Member{"/mesh/address", a.String()}); err != nil {
			return undo(err)
		}
	}
	next, err := Open(i.Dir)
	if err != nil {
		return undo(err)
	}
	// The certificates of other nodes may need names that they had alone.
	_, err = next.UpdateCerts(v, next.In(env, ""), false, now)
	return next, err
}

// environmentOf returns the environment of a node that was just written.
func (i *Instance) environmentOf(name, file string) (string, error) {
	text, err := os.ReadFile(filepath.Join(i.Dir, filepath.FromSlash(file)))
	if err != nil {
		return "", err
	}
	own, err := parse(file, text)
	if err != nil {
		return "", err
	}
	tags, err := i.files.tags(own)
	if err != nil {
		return "", err
	}
	return i.files.environment(own, tags)
}

// belongings are the paths, relative to the instance, of all that is a node's.
func (i *Instance) belongings(name string) (list []string, err error) {
	list = []string{"nodes/" + name + ".json", "files/nodes/" + name, "compiled/" + name + ".json", "history/" + name + ".jsonl"}
	secrets, err := filepath.Glob(filepath.Join(i.Dir, "secrets", NodeSecret(name, "*")))
	for _, s := range secrets {
		list = append(list, "secrets/"+filepath.Base(s))
	}
	return list, err
}

// RemoveNode takes a node away with all that is its own.
func (i *Instance) RemoveNode(name string) error {
	if i.Node(name) == nil {
		return fmt.Errorf("there is no node %q", name)
	}
	list, err := i.belongings(name)
	for _, p := range list {
		err = errors.Join(err, os.RemoveAll(filepath.Join(i.Dir, filepath.FromSlash(p))))
	}
	return err
}

// MoveNode gives a node another name, and returns the instance with it. Its
// keys stay; its certificates are made anew.
func (i *Instance) MoveNode(v *Vault, from, to string, now time.Time) (*Instance, error) {
	switch {
	case i.Node(from) == nil:
		return nil, fmt.Errorf("there is no node %q", from)
	case i.Node(to) != nil:
		return nil, fmt.Errorf("there is a node %q already", to)
	case !label.MatchString(to), slices.Contains(aliases, to):
		return nil, fmt.Errorf("%q cannot be the name of a node: lower-case letters, digits and dashes, and none of %s", to, strings.Join(aliases, ", "))
	}
	list, err := i.belongings(from)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if strings.HasPrefix(p, "compiled/") { // It names the old secrets.
			if err := os.RemoveAll(filepath.Join(i.Dir, filepath.FromSlash(p))); err != nil {
				return nil, err
			}
			continue
		}
		dir, base := path.Split(p)
		target := dir + to + strings.TrimPrefix(base, from)
		if rest, ok := strings.CutPrefix(base, NodeSecret(from, "")); ok {
			target = dir + NodeSecret(to, rest)
		}
		err := os.Rename(filepath.Join(i.Dir, filepath.FromSlash(p)), filepath.Join(i.Dir, filepath.FromSlash(target)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	next, err := Open(i.Dir)
	if err != nil {
		return nil, err
	}
	_, err = next.UpdateCerts(v, next.In(next.Node(to).Environment, ""), false, now)
	return next, err
}
