package provider

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"leap.example/appliance/node"
)

// An Instance is a provider instance that was read and makes sense.
type Instance struct {
	Dir     string
	Nodes   []*Node           // By name, also those that are not enabled.
	Users   []*User           // By name.
	Files   map[string][]byte // Below files/, by slash-separated path.
	Secrets []string          // Names of those that are there, sorted.
	Zones   map[string]Serial // By domain.

	files     files
	providers map[string]*Provider // By environment.
}

// A Serial is what is remembered of a zone.
type Serial struct {
	Serial uint32 `json:"serial"`
	Digest string `json:"digest"` // Of its records.
}

// A Node is one node with all that its layers say.
type Node struct {
	Name string
	Properties
	Runs []string // leapd's services on it, sorted.

	tree *value
}

// Errorf is an error about a node at the place where a property, a JSON
// pointer, was written.
func (n *Node) Errorf(pointer, format string, args ...any) error {
	return n.tree.find(pointer).errorf(pointer, n.Name+": "+format, args...)
}

// JSON is all that is said about the node, merged.
func (n *Node) JSON() []byte { return n.tree.json() }

// IsEnabled reports whether the node takes part.
func (n *Node) IsEnabled() bool { return n.Enabled == nil || *n.Enabled }

// Has reports whether one of leapd's services runs on the node.
func (n *Node) Has(service string) bool { return slices.Contains(n.Runs, service) }

// Domain is the provider's, for the node's environment.
func (i *Instance) Domain(env string) string { return i.Provider(env).Domain }

// Provider returns what the provider is in an environment.
func (i *Instance) Provider(env string) *Provider {
	if p, ok := i.providers[env]; ok {
		return p
	}
	return i.providers[""]
}

// Environments are those of the nodes, sorted; "" is that of nodes that name none.
func (i *Instance) Environments() []string {
	set := map[string]bool{}
	for _, n := range i.Nodes {
		set[n.Environment] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// Node returns a node by its name, or nil.
func (i *Instance) Node(name string) *Node {
	for _, n := range i.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// In returns the enabled nodes of an environment that run one of leapd's
// services; all, if it is empty.
func (i *Instance) In(env, service string) (list []*Node) {
	for _, n := range i.Nodes {
		if n.Environment == env && n.IsEnabled() && (service == "" || n.Has(service)) {
			list = append(list, n)
		}
	}
	return list
}

// NameServers are the enabled nodes of an environment that answer for its zone.
func (i *Instance) NameServers(env string) []*Node {
	return slices.DeleteFunc(i.In(env, "dns"), func(n *Node) bool { return !n.IsNameServer() })
}

// IsNameServer reports whether the node answers for the provider's zone: the
// service dns of a gateway answers the gateway's users alone.
func (n *Node) IsNameServer() bool { return slices.Contains(n.Services, "dns") }

// ErrNoInstance is that a directory is no provider instance.
var ErrNoInstance = errors.New("here is no provider instance: change to its directory, or make one with \"leap new\"")

// Find returns the directory of the instance that dir is in.
func Find(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "provider.json")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", ErrNoInstance
		}
		dir = up
	}
}

// Open reads the instance under dir. The error joins all that is wrong with it.
func Open(dir string) (*Instance, error) {
	if _, err := os.Stat(filepath.Join(dir, "provider.json")); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoInstance
	}
	i := &Instance{Dir: dir, files: files{}, Files: map[string][]byte{}, providers: map[string]*Provider{}, Zones: map[string]Serial{}}
	if err := i.readJSON(); err != nil {
		return nil, err
	}
	if err := errors.Join(i.readFiles(), i.readSecrets()); err != nil {
		return nil, err
	}
	if err := i.build(); err != nil {
		return nil, err
	}
	return i, nil
}

// build makes typed values of what was read, and checks them.
func (i *Instance) build() error {
	errs := append(i.buildProviders(), i.files.misplaced()...)
	for _, name := range slices.Sorted(maps.Keys(i.files)) {
		switch dir, base := path.Split(name); dir {
		case "nodes/":
			n, found := i.buildNode(base)
			errs = append(errs, found...)
			if n != nil {
				i.Nodes = append(i.Nodes, n)
			}
		case "users/":
			u := &User{Name: base}
			found := decode(i.files[name], u)
			if len(found) == 0 {
				found = i.checkUser(u, i.files[name])
			}
			errs = append(errs, found...)
			i.Users = append(i.Users, u)
		}
	}
	if v, ok := i.files["zones"]; ok {
		errs = append(errs, decode(v, &i.Zones)...)
	}
	if len(errs) > 0 {
		return joined(errs)
	}
	i.expand()
	return joined(i.check())
}

// buildNode merges and decodes a node; nil if it cannot.
func (i *Instance) buildNode(name string) (*Node, []error) {
	own := i.files["nodes/"+name]
	if !label.MatchString(name) {
		return nil, []error{own.errorf("", "%q is no name of a node: lower-case letters, digits and dashes", name)}
	}
	tree, err := i.files.resolve(name)
	if err != nil {
		return nil, []error{err}
	}
	if errs := unset(tree, ""); len(errs) > 0 {
		return nil, errs
	}
	n := &Node{Name: name, tree: tree}
	errs := decode(tree, &n.Properties)
	if len(errs) > 0 {
		return nil, errs
	}
	// What the layers were chosen by, and not what they say of it themselves.
	if n.Tags, err = i.files.tags(own); err == nil {
		n.Environment, err = i.files.environment(own, n.Tags)
	}
	if err == nil {
		n.Services, _, err = texts(own, "services")
	}
	if err != nil {
		return nil, []error{err}
	}
	return n, nil
}

// buildProviders decodes provider.json and its variants.
func (i *Instance) buildProviders() (errs []error) {
	for _, name := range i.files.variants("provider") {
		env := strings.TrimPrefix(strings.TrimPrefix(name, "provider"), ".")
		v, err := i.files.layer(&value{from: i.files[name].from, members: []member{}}, "provider", env)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p := &Provider{}
		found := append(unset(v, ""), decode(v, p)...)
		if len(found) == 0 {
			p.defaults()
			found = p.check(v)
		}
		errs = append(errs, found...)
		i.providers[env] = p
	}
	return errs
}

// expand finds out which of leapd's services run where.
func (i *Instance) expand() {
	for _, n := range i.Nodes {
		runs := map[string]bool{}
		for _, s := range n.Services {
			for k, of := range Classic[s] {
				if k == 0 || !i.listed(n.Environment, of) {
					runs[of] = true
				}
			}
			if _, ok := node.ID(s); ok {
				runs[s] = true
			}
		}
		if runs["gateway"] {
			runs["dns"] = true
			n.defaultVPN(i.Domain(n.Environment))
		}
		n.Updates.defaults()
		n.Runs = slices.Sorted(maps.Keys(runs))
	}
	for _, env := range i.Environments() {
		i.keepExternal(env)
	}
}

// listed reports whether a node of an environment lists a service by its name.
func (i *Instance) listed(env, service string) bool {
	return slices.ContainsFunc(i.Nodes, func(n *Node) bool {
		return n.Environment == env && n.IsEnabled() && slices.Contains(n.Services, service)
	})
}

// keepExternal has one node keep the databases of an external server in order.
func (i *Instance) keepExternal(env string) {
	for _, service := range []string{"tapicero", "webapp"} {
		for _, n := range i.In(env, service) {
			if len(n.Couchdb.External) > 0 && len(i.In(env, "couchsetup")) == 0 {
				n.Runs = append(n.Runs, "couchsetup")
				slices.Sort(n.Runs)
				return
			}
		}
	}
}
