package provider

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// readJSON parses all JSON files.
func (i *Instance) readJSON() error {
	var errs []error
	for _, pattern := range []string{"provider*.json", "common*.json", "services/*.json", "tags/*.json", "nodes/*.json", "users/*.json", "zones.json"} {
		paths, err := filepath.Glob(filepath.Join(i.Dir, filepath.FromSlash(pattern)))
		if err != nil {
			return err
		}
		for _, p := range paths {
			name := path.Join(path.Dir(pattern), filepath.Base(p))
			text, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			v, err := parse(name, text)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			i.files[strings.TrimSuffix(name, ".json")] = v
		}
	}
	return joined(errs)
}

// readFiles reads what is below files/.
func (i *Instance) readFiles() error {
	root := filepath.Join(i.Dir, "files")
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return nil
		case info.Size() > maxFile:
			return fmt.Errorf("files/%s: has more than %d bytes", filepath.ToSlash(rel), maxFile)
		}
		text, err := os.ReadFile(p)
		i.Files[filepath.ToSlash(rel)] = text
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (i *Instance) readSecrets() error {
	paths, err := filepath.Glob(filepath.Join(i.Dir, "secrets", "*"+secretExt))
	for _, p := range paths {
		i.Secrets = append(i.Secrets, strings.TrimSuffix(filepath.Base(p), secretExt))
	}
	return err
}
