package uki

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
)

// The parts of CycloneDX 1.6 that are used (ECMA-424).
type (
	bom struct {
		Format      string      `json:"bomFormat"`
		SpecVersion string      `json:"specVersion"`
		Version     int         `json:"version"`
		Metadata    metadata    `json:"metadata"`
		Components  []component `json:"components"`
	}
	metadata struct {
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		Purl       string     `json:"purl,omitempty"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
)

// bill returns the bill of materials of a release: the modules that the linker
// wrote into the program, and the parts that are not of Go.
func bill(version string, program []byte, linux, stub, loader part) ([]byte, error) {
	var parts []component
	of := func(kind, name, purl string, p part) {
		parts = append(parts, component{
			Type: kind, Name: name, Version: p.version, Purl: purl, Hashes: []hash{{"SHA-256", digestOf(p.data)}},
		})
	}
	debian := "pkg:deb/debian/systemd-boot-efi?arch=amd64"
	of("operating-system", "linux", "", linux)
	of("application", "linuxx64.efi.stub", debian, stub)
	of("application", "systemd-bootx64.efi", debian, loader)
	return materials(component{Type: "operating-system", Name: "leap", Version: version}, parts, program)
}

// Bill returns the bill of materials of a program that is released by itself.
func Bill(name, version string, program []byte) ([]byte, error) {
	return materials(component{Type: "application", Name: name, Version: version}, nil, program)
}

// materials returns the bill of what consists of parts and a program of Go.
func materials(whole component, parts []component, program []byte) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil, fmt.Errorf("bill of materials: %w", err)
	}
	b := bom{Format: "CycloneDX", SpecVersion: "1.6", Version: 1, Metadata: metadata{whole}}
	b.Components = append(parts, component{
		Type: "application", Name: info.Path, Version: whole.Version, Hashes: []hash{{"SHA-256", digestOf(program)}},
	}, component{
		Type: "library", Name: "std", Version: info.GoVersion, Purl: "pkg:golang/std@" + info.GoVersion[len("go"):],
	})
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		c := component{Type: "library", Name: m.Path, Version: m.Version, Purl: "pkg:golang/" + m.Path + "@" + m.Version}
		if m.Sum != "" {
			c.Properties = []property{{"go:sum", m.Sum}} // Of the module's tree, as in go.sum.
		}
		b.Components = append(b.Components, c)
	}
	return json.MarshalIndent(b, "", "\t")
}
