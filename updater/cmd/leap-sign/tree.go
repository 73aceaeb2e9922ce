package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"leap.example/updater/target"
	"leap.example/updater/tufrepo"
)

// tree finds what is below a directory and not public yet: each file at the path
// of its target, a release beside the manifest that describes it.
func tree(r *tufrepo.Repo, dir string) (list []tufrepo.Addition, err error) {
	public := map[string]tufrepo.File{}
	files, err := r.Targets()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		public[f.Path] = f
	}
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		add := tufrepo.Addition{Path: filepath.ToSlash(rel), File: file}
		if is, ok := public[add.Path]; ok {
			return unchanged(is, file)
		}
		if _, err := target.ParsePath(add.Path); err == nil {
			if add.Custom, err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(path.Join(path.Dir(add.Path), tufrepo.Manifest)))); err != nil {
				return fmt.Errorf("%s is a release and has no description: %w", add.Path, err)
			}
		}
		list = append(list, add)
		return nil
	})
	return list, err
}

// unchanged checks that a file is what is public under its path.
func unchanged(public tufrepo.File, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != public.SHA256 {
		return fmt.Errorf("%s is public already, with another content than %s: a release never changes, give it another version", public.Path, file)
	}
	return nil
}
