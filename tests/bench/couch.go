package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// couch measures the database. What has to be compared runs close together: the
// groups alone before the cluster, and again after it.
func (r *recorder) couch(args []string) error {
	leapd := filepath.Join(r.scratch, "leapd")
	if _, err := r.command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", leapd, "./appliance/cmd/leapd"); err != nil {
		return err
	}
	args = append([]string{"-couch.leapd=" + leapd}, args...)
	failed := r.scene("(put|bulk|get|changes|longpoll)", args)
	failed = errors.Join(failed, r.groups(), r.scene("three", args))
	before := r.found[groups]
	delete(r.found, groups)
	failed = errors.Join(failed, r.groups())
	for unit, v := range before {
		if after := r.found[groups][unit]; after > 0 {
			v = (v + after) / 2
		}
		r.found.set(groups, unit, v)
	}
	failed = errors.Join(failed, r.scene("million", args), r.scene("databases", args))
	return errors.Join(failed, r.profiles(args))
}

// groups is the name of the benchmark of a cluster without HTTP.
const groups = "BenchmarkPropose/64"

func (r *recorder) groups() error {
	return r.benchmark([]string{"-bench", "^BenchmarkPropose$", "-benchtime", "5s", "./services/bigcouch/group"})
}

// scene runs scenes of package couch.
func (r *recorder) scene(name string, args []string) error {
	out, err := r.command("go", sceneCommand(name, args)...)
	r.found.read(out)
	return err
}

func sceneCommand(name string, args []string) []string {
	pattern := "^BenchmarkCouch$/^" + strings.ReplaceAll(name, "/", "$/^") + "$"
	return append([]string{"test", "-v", "-run", "^$", "-bench", pattern, "-benchtime", "1x", "-timeout", "1h", "./tests/bench/couch", "-args"}, args...)
}

// profiles runs again each scene that missed a figure, with a node that leaves
// profiles, and records where the time or the memory went.
func (r *recorder) profiles(args []string) error {
	kinds := map[string][]string{} // Of profiles, by scene.
	for _, f := range r.found.couchFigures() {
		if f.verdict() != missed || f.scene == "" {
			continue
		}
		kind := "cpu"
		if f.unit == "MB" {
			kind = "mem"
		}
		if !slices.Contains(kinds[f.scene], kind) {
			kinds[f.scene] = append(kinds[f.scene], kind)
		}
	}
	if len(kinds) == 0 {
		return nil
	}
	node := filepath.Join(r.scratch, "node")
	if _, err := r.command("go", "build", "-o", node, "./tests/bench/couch/node"); err != nil {
		return err
	}
	var failed error
	for scene, kinds := range kinds {
		failed = errors.Join(failed, r.profileScene(node, scene, kinds, args))
	}
	return failed
}

// profileScene records profiles of one scene: of the node that is measured, or
// of the first of several.
func (r *recorder) profileScene(node, scene string, kinds, args []string) error {
	dir := filepath.Join(r.scratch, "profiles", scene)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	args = append(slices.Clone(args), "-couch.leapd="+node, "-couch.profiles="+dir, "-couch.turns=4") // The last of a flag counts.
	if _, err := r.command("go", sceneCommand(scene, args)...); err != nil {
		return err
	}
	var failed error
	for _, kind := range kinds {
		files, err := filepath.Glob(filepath.Join(dir, "[al]*."+kind)) // Of "a" and "leapd".
		failed = errors.Join(failed, err)
		for _, file := range files {
			args := []string{"tool", "pprof", "-top", "-nodecount=25"}
			if kind == "mem" {
				args = append(args, "-sample_index=inuse_space")
			}
			_, err := r.command("go", append(args, node, file)...)
			_, cumErr := r.command("go", append(args, "-cum", node, file)...)
			failed = errors.Join(failed, err, cumErr)
		}
	}
	return failed
}
