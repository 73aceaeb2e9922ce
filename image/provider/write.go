package provider

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tailscale/hujson"

	"leap.example/appliance/durable"
)

// Write writes a file of the instance whole and durably. name is slash-separated
// and stays below dir.
func Write(dir, name string, data []byte, mode fs.FileMode) error {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return fmt.Errorf("%q is no name of a file of the instance", name)
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // It may lie in git, for others to read.
		return err
	}
	return durable.WriteFile(path, data, mode)
}

// WriteJSON writes v as a file of the instance, for people to read.
func WriteJSON(dir, name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return Write(dir, name, append(data, '\n'), 0o644)
}

// Set changes members of a JSON file of the instance, by their pointers, and
// keeps its comments. Objects on the way are made; a nil value takes a member
// away.
func Set(dir, name string, members ...Member) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	v, err := hujson.Parse(text)
	if err != nil {
		return (&source{name, text}).syntax(err)
	}
	for _, m := range members {
		if err := set(&v, m); err != nil {
			return fmt.Errorf("%s: %s: %w", name, m.Pointer, err)
		}
	}
	v.Format()
	return Write(dir, name, v.Pack(), 0o644)
}

// A Member is one that [Set] changes.
type Member struct {
	Pointer string
	Value   any
}

func set(v *hujson.Value, m Member) error {
	parts := strings.Split(strings.TrimPrefix(m.Pointer, "/"), "/")
	for i := 1; i < len(parts); i++ {
		around := "/" + strings.Join(parts[:i], "/")
		if v.Find(around) == nil {
			if m.Value == nil {
				return nil
			}
			if err := patch(v, "add", around, map[string]any{}); err != nil {
				return err
			}
		}
	}
	there := v.Find(m.Pointer) != nil
	switch {
	case m.Value != nil && there:
		return patch(v, "replace", m.Pointer, m.Value)
	case m.Value != nil:
		return patch(v, "add", m.Pointer, m.Value)
	case there:
		return patch(v, "remove", m.Pointer, nil)
	}
	return nil
}

func patch(v *hujson.Value, op, pointer string, to any) error {
	text, err := json.Marshal([]map[string]any{{"op": op, "path": pointer, "value": to}})
	if err != nil {
		return err
	}
	return v.Patch(text)
}
