// Package schema has JSON Schemas of the files of a provider instance and of the
// node document, for editors that complete and check while one writes:
//
//	provider  provider.json and its variants
//	node      nodes/, tags/, services/ and common.json: what nodes have
//	user      users/
//	document  compiled/, and what agents take
//
// They are made from the Go types that read these files and from the comments on
// their members, and tests hold that they are those of the present source, and
// refuse nothing that the types take. They say less than the types: what a text
// must look like, what must be there and what fits together is found by package
// provider and package compile, which name file, line and column. So nothing
// here is used to check anything.
package schema

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:generate go test . -run TestPresent -update

//go:embed *.json
var files embed.FS

// Names are the schemas that there are.
func Names() []string { return []string{"document", "node", "provider", "user"} }

// Text is one of them (JSON Schema 2020-12).
func Text(name string) ([]byte, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("there is no schema %q; there are %s", name, strings.Join(Names(), ", "))
	}
	return files.ReadFile(name + ".json")
}
