package compile

import (
	"encoding/json"
	"net/netip"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"leap.example/appliance/node"
	"leap.example/image/provider"
)

// A nodeCompiler makes the document of one node.
type nodeCompiler struct {
	c   *compiler
	i   *provider.Instance
	n   *provider.Node
	p   *provider.Provider
	doc node.Document
}

// A serviceCompiler makes one service of it.
type serviceCompiler struct {
	*nodeCompiler
	name string
	out  node.Service
}

// service compiles one of leapd's services.
func (c *nodeCompiler) service(name string) {
	s := &serviceCompiler{nodeCompiler: c, name: name, out: node.Service{
		Sections: map[string]json.RawMessage{}, Memory: c.n.Memory[name], Clock: waits[name],
	}}
	builders[name](s)
	c.doc.Services[name] = s.out
}

// waits are the services that need to know the time: those with certificates
// that expire, or tokens. The database and DNS do not wait, others wait for them.
var waits = map[string]bool{"webapp": true, "ca": true, "nickserver": true, "soledad": true, "mx": true, "relay": true, "gateway": true}

var builders = map[string]func(*serviceCompiler){
	"bigcouch": bigcouchService, "couchsetup": couchsetupService, "webapp": webappService, "ca": caService, "tapicero": tapiceroService,
	"nickserver": nickserverService, "soledad": soledadService, "mx": mxService, "relay": relayService, "dns": dnsService,
	"gateway": gatewayService,
}

func (s *serviceCompiler) failf(pointer, format string, args ...any) {
	s.c.errs = append(s.c.errs, s.n.Errorf(pointer, format, args...))
}

// file gives the service a file and returns its path.
func (s *serviceCompiler) file(name, text string) string {
	if s.out.Files == nil {
		s.out.Files = map[string]string{}
	}
	s.out.Files[name] = text
	return node.FilePath(s.name, name)
}

// own gives the service one of the instance's files.
func (s *serviceCompiler) own(pointer, name, file string) string {
	text, ok := s.i.Files[file]
	if !ok {
		s.failf(pointer, "there is no file files/%s", file)
	}
	return s.file(name, string(text))
}

// secret gives the service a secret and returns its path.
func (s *serviceCompiler) secret(name, secret string) string {
	if s.out.Secrets == nil {
		s.out.Secrets = map[string]string{}
	}
	value, ok := s.c.secrets[secret]
	if !ok {
		s.failf("/services", "%s needs the secret %s, and there is no secrets/%s.age: \"leap compile\" makes it", s.name, secret, secret)
		value = []byte{0}
	}
	s.out.Secrets[name] = secret
	s.doc.Secrets[secret] = node.SecretDigest(value)
	s.c.out.Secrets[secret] = value
	return node.SecretPath(s.name, name)
}

// scoped is the same with a secret of the environment.
func (s *serviceCompiler) scoped(name, secret string) string {
	return s.secret(name, provider.Scoped(s.n.Environment, secret))
}

// pair gives the service the node's certificate and its key.
func (s *serviceCompiler) pair() (cert, key string) {
	file := provider.NodeFile(s.n.Name, "server.crt")
	if _, ok := s.i.Files[file]; !ok {
		s.failf("/services", "there is no files/%s: run \"leap cert update %s\"", file, s.n.Name)
	}
	return s.file("server.crt", string(s.i.Files[file])), s.secret("server.key", provider.NodeSecret(s.n.Name, "server.key"))
}

func (s *serviceCompiler) state(name string) string { return path.Join(node.StateDir(s.name), name) }

// public listens to the world. From the mesh nobody is let in there (appliance/
// firewall): nodes talk to each other at ports of their own, or as the world does.
func (s *serviceCompiler) public(port uint16, protocols ...string) string {
	for _, p := range protocols {
		s.out.Listeners = append(s.out.Listeners, node.Listener{Protocol: p, Port: port, From: "public"})
	}
	return ":" + strconv.Itoa(int(port))
}

// mesh listens to the other nodes.
func (s *serviceCompiler) mesh(port uint16, protocols ...string) string {
	for _, p := range protocols {
		s.out.Listeners = append(s.out.Listeners, node.Listener{Protocol: p, Port: port, From: "mesh"})
	}
	return netip.AddrPortFrom(s.n.Mesh.Address, port).String()
}

// section writes a section: chosen, what the operator has set, a pointer to a
// Config, and made, what follows from the instance.
func (s *serviceCompiler) section(name string, chosen interface{ Validate() error }, made any) {
	into := reflect.ValueOf(chosen).Elem()
	s.adopt(into, "/"+name)
	s.fill(into, reflect.ValueOf(made), "/"+name)
	if err := chosen.Validate(); err != nil {
		s.failf("/"+name, "%v", err)
	}
	text, err := json.Marshal(chosen)
	if err != nil {
		s.failf("/"+name, "%v", err)
	}
	s.out.Sections[name] = text
}

// adopt makes files of the service of those that the operator names.
func (s *serviceCompiler) adopt(v reflect.Value, pointer string) {
	for k := range v.NumField() {
		tag, _, _ := strings.Cut(v.Type().Field(k).Tag.Get("json"), ",")
		f, inner := v.Field(k), pointer+"/"+tag
		switch {
		case f.Kind() == reflect.Struct && f.NumField() > 0 && v.Type().Field(k).IsExported() && !f.IsZero() && nested(f):
			s.adopt(f, inner)
		case f.Kind() == reflect.String && strings.HasSuffix(tag, "_file") && f.String() != "":
			f.SetString(s.own(inner, "own/"+path.Base(f.String()), f.String()))
		}
	}
}

// nested reports whether a struct is one of ours, and not a value like an address.
func nested(v reflect.Value) bool {
	for k := range v.NumField() {
		if !v.Type().Field(k).IsExported() {
			return false
		}
	}
	return true
}

// fill puts what was made into what was chosen. What is in both is a mistake of
// the operator.
func (s *serviceCompiler) fill(into, made reflect.Value, pointer string) {
	for k := range made.NumField() {
		tag, _, _ := strings.Cut(made.Type().Field(k).Tag.Get("json"), ",")
		from, to, inner := made.Field(k), into.Field(k), pointer+"/"+tag
		switch {
		case from.IsZero():
		case from.Kind() == reflect.Struct && nested(from):
			s.fill(to, from, inner)
		case !to.IsZero():
			s.failf(inner, "this follows from the instance: leave it out")
		default:
			to.Set(from)
		}
	}
}

// tunnel listens to the users of a gateway.
func (s *serviceCompiler) tunnel(a netip.Addr, port uint16, protocols ...string) string {
	for _, p := range protocols {
		s.out.Listeners = append(s.out.Listeners, node.Listener{Protocol: p, Port: port, From: "tunnel"})
	}
	return netip.AddrPortFrom(a, port).String()
}

// meshURLs are where a port of all nodes with a service is, in the mesh.
func (c *nodeCompiler) meshURLs(service string, port uint16) (list []string) {
	for _, n := range c.i.In(c.n.Environment, service) {
		list = append(list, "http://"+netip.AddrPortFrom(n.Mesh.Address, port).String())
	}
	slices.Sort(list)
	return list
}
