// Package layering checks that the import graph of this module is the one
// written in floors.txt, the way go/build's TestDependencies does for the
// standard library.
package layering

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "leap.example"

//go:embed floors.txt
var floors string

type rules struct {
	allow map[string][]string // package pattern -> import patterns
	doors map[string][]string // thing -> package patterns
	bans  map[string][]string // package pattern -> things
}

func parse(text string) (rules, error) {
	r := rules{map[string][]string{}, map[string][]string{}, map[string][]string{}}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case f[0] == "door" && len(f) > 1:
			r.doors[f[1]] = f[2:]
		case f[0] == "ban" && len(f) > 2:
			r.bans[f[1]] = f[2:]
		case len(f) > 1 && f[1] == "->":
			r.allow[f[0]] = f[2:]
		default:
			return r, fmt.Errorf("floors.txt: bad line: %s", line)
		}
	}
	return r, nil
}

// match reports whether pattern names pkg.
func match(pattern, pkg string) bool {
	if prefix, wild := strings.CutSuffix(pattern, "..."); wild {
		return strings.HasPrefix(pkg+"/", prefix)
	}
	ok, _ := path.Match(pattern, pkg)
	return ok
}

func matchAny(patterns []string, pkg string) bool {
	for _, p := range patterns {
		if match(p, pkg) {
			return true
		}
	}
	return false
}

// unit returns the first two elements of a package path.
func unit(pkg string) string {
	f := strings.SplitN(pkg, "/", 3)
	return strings.Join(f[:min(2, len(f))], "/")
}

// inside returns why pkg may not use name of dep, a package of this module, or "".
func (r rules) inside(pkg, dep, name string) string {
	if unit(dep) == unit(pkg) {
		return ""
	}
	rule, most := "", -1
	for p := range r.allow {
		// What is written out counts: appliance/efi is longer than appliance/...
		if n := len(strings.TrimSuffix(p, "...")); match(p, pkg) && n > most {
			rule, most = p, n
		}
	}
	for _, p := range r.allow[rule] {
		p, only, _ := strings.Cut(p, ":")
		if match(p, dep) && strings.HasPrefix(name, only) {
			return ""
		}
	}
	return fmt.Sprintf("floor %q", rule)
}

// outside returns why pkg may not use name of the package imp, or "".
func (r rules) outside(pkg, imp, name string) string {
	for thing, users := range r.doors {
		if (match(thing, imp) || thing == imp+":"+name) && !matchAny(users, pkg) {
			return "door " + thing
		}
	}
	for p, things := range r.bans {
		for _, thing := range things {
			if match(p, pkg) && (thing == imp || thing == imp+":"+name) {
				return "ban " + p
			}
		}
	}
	return ""
}

// check calls report for each thing in f that pkg may not use.
func (r rules) check(pkg string, f *ast.File, report func(pos token.Pos, thing, why string)) {
	paths := map[string]string{} // local name -> import path
	use := func(pos token.Pos, imp, name string) {
		thing, why := imp, ""
		if dep, ok := strings.CutPrefix(imp, module+"/"); ok {
			why = r.inside(pkg, dep, name)
		} else {
			why = r.outside(pkg, imp, name)
		}
		if name != "" {
			thing += "." + name
		}
		if why != "" {
			report(pos, thing, why)
		}
	}
	used := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			imp, _ := strconv.Unquote(n.Path.Value)
			local := path.Base(imp)
			if n.Name != nil {
				local = n.Name.Name
			}
			paths[local] = imp
			if local == "_" || local == "." {
				use(n.Pos(), imp, "")
				used[imp] = true
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && paths[x.Name] != "" {
				use(n.Pos(), paths[x.Name], n.Sel.Name)
				used[paths[x.Name]] = true
			}
		case *ast.GoStmt:
			use(n.Pos(), "go", "")
		}
		return true
	})
	for _, spec := range f.Imports { // Their package name is not their last element.
		if imp, _ := strconv.Unquote(spec.Path.Value); !used[imp] {
			use(spec.Pos(), imp, "")
		}
	}
}

func TestFloors(t *testing.T) {
	r, err := parse(floors)
	if err != nil {
		t.Fatal(err)
	}
	// Parsing the files here, rather than asking "go list", lets go test see
	// what was read, so that a cached result is never stale.
	fset := token.NewFileSet()
	err = filepath.WalkDir("../..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || len(d.Name()) > 2 && d.Name()[0] == '.') {
			return fs.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := strings.TrimPrefix(path.Dir(filepath.ToSlash(file)), "../../")
		r.check(pkg, f, func(pos token.Pos, thing, why string) {
			t.Errorf("%s: %s may not use %s (%s)", fset.Position(pos), pkg, thing, why)
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRules checks that the rules bite.
func TestRules(t *testing.T) {
	r, err := parse(floors)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		pkg, imp, code string
		ok             bool
	}{
		{"services/mx", module + "/services/protocol/nick", "nick.X()", true},
		{"services/mx", module + "/services/daemon", "daemon.X()", true},
		{"services/mx", module + "/services/soledad", "soledad.X()", false},
		{"services/mx", module + "/services/couch", "couch.X()", false},
		{"services/gateway", module + "/appliance/netcfg", "netcfg.X()", false},
		{"services/gateway", module + "/services/gateway/netstack", "netstack.X()", true},
		{"services/couch", module + "/services/nickserver", "nickserver.X()", false},
		{"services/protocol/nick", module + "/services/protocol/problem", "problem.X()", true},
		{"services/protocol/nick", module + "/services/daemon", "daemon.X()", false},
		{"services/protocol/nick", "net/http", "http.Get()", false},
		{"services/protocol/nick", "net/netip", "netip.X()", true},
		{"services/protocol/certs", "time", "time.Now()", false},
		{"services/protocol/certs", "time", "time.Unix(0, 0)", true},
		{"services/protocol/certs", "time", "go time.Unix(0, 0)", false},
		{"appliance/cmd/leapd", module + "/services/couch", "couch.X()", true},
		{"appliance/cmd/leapd", "github.com/gokrazy/gokrazy", "gokrazy.Boot()", true},
		{"appliance/agent", module + "/services/mx", "mx.X()", false},
		{"appliance/health", module + "/services/daemon", "daemon.Status{}.X()", true},
		{"appliance/netcfg", module + "/services/daemon", "daemon.X()", false},
		{"appliance/slots", module + "/appliance/efi", "efi.X()", true},
		{"appliance/netcfg", module + "/appliance/efi", "efi.X()", false},
		{"image/uki", module + "/appliance/efi", "efi.X()", true},
		{"image/disk", module + "/appliance/gpt", "gpt.X()", true},
		{"image/disk", module + "/appliance/slots", "slots.X()", false},
		{"qemu/vm", module + "/appliance/gpt", "gpt.X()", false},
		{"appliance/efi", "os", "os.Open(x)", false},
		{"appliance/efi", module + "/appliance/node", "node.X()", false},
		{"appliance/efi", module + "/updater/target", "target.X()", true},
		{"appliance/efi", module + "/updater/tufrepo", "tufrepo.X()", false},
		{"image/compile", module + "/services/mx", "mx.Config{}.X()", true},
		{"image/compile", module + "/services/mx", "mx.New()", false},
		{"image/compile", module + "/appliance/agent", "agent.X()", false},
		{"client/session", module + "/services/webapp", "webapp.X()", false},
		{"client/update", module + "/updater/tufclient", "tufclient.X()", true},
		{"client/update", module + "/updater/tufrepo", "tufrepo.X()", false},
		{"qemu/cluster", module + "/tests/e2e", "e2e.X()", false},
		{"services/mx", "github.com/go-kivik/kivik/v4", "kivik.New()", false},
		{"services/couch", "github.com/go-kivik/kivik/v4", "kivik.New()", true},
		{"services/mx", "os", "os.Getenv()", false},
		{"services/mx", "os", "os.ReadFile()", true},
		{"client/cmd/leapc", "os", "os.Getenv()", true},
		{"services/mx", "log", "log.Print()", false},
		{"services/mx", "log/slog", "slog.Info()", false},
		{"services/mx", "log/slog", "slog.New()", true},
		{"appliance/netcfg/nettest", "github.com/vishvananda/netlink", "netlink.X()", true},
		{"appliance/firewall", "github.com/vishvananda/netlink", "netlink.X()", false},
		{"services/gateway", "github.com/vishvananda/netlink", "netlink.X()", false},
		{"appliance/agent", "github.com/insomniacslk/dhcp/dhcpv4", "dhcpv4.X()", false},
		{"appliance/agent", "github.com/beevik/ntp", "ntp.X()", false},
		{"services/mx/storetest", "testing", "testing.X()", true},
		{"services/mx", "testing", "testing.X()", false},
	} {
		src := fmt.Sprintf("package p\nimport %q\nfunc f() { %s }\n", tt.imp, tt.code)
		f, err := parser.ParseFile(token.NewFileSet(), "p.go", src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		why := ""
		r.check(tt.pkg, f, func(_ token.Pos, thing, w string) { why += thing + " " + w })
		if (why == "") != tt.ok {
			t.Errorf("%s: %s of %s: %q, want ok = %v", tt.pkg, tt.code, tt.imp, why, tt.ok)
		}
	}
}
