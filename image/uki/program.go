package uki

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// program returns leapd, built or read.
func (o Options) program(ctx context.Context) ([]byte, error) {
	path := o.Program
	if path == "" {
		dir, err := os.MkdirTemp("", "leapd-*")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, "leapd")
		if err := Compile(ctx, o.Source, "./appliance/cmd/leapd", path); err != nil {
			return nil, err
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return data, checkStatic(data)
}

// A Platform is for which machines a program is built, in Go's words.
type Platform struct{ OS, Arch string }

// nodes is the platform of nodes.
var nodes = Platform{"linux", "amd64"}

// A Program is what is built of a module.
type Program struct {
	Platform
	Module string // Its directory.
	Main   string // The package, "./client/cmd/leapc".
	// Stamps are values of variables, by their names, "main.version": strings that the
	// linker puts in.
	Stamps map[string]string
	// Files are in the place of those of the module, by their paths in it.
	Files map[string][]byte
}

// Compile builds a program of a module for nodes, as [Program.Compile].
func Compile(ctx context.Context, module, program, out string) error {
	return Program{Platform: nodes, Module: module, Main: program}.Compile(ctx, out)
}

// Compile builds the program into a file, so that the same source and toolchain give
// the same bytes in every directory.
func (p Program) Compile(ctx context.Context, out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	flags := []string{"-s", "-w", "-buildid="}
	for _, name := range slices.Sorted(maps.Keys(p.Stamps)) {
		flags = append(flags, "-X", "'"+name+"="+p.Stamps[name]+"'")
	}
	words := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=" + strings.Join(flags, " "), "-o", out}
	if len(p.Files) > 0 {
		dir, err := os.MkdirTemp("", "overlay-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		file, err := p.overlay(dir)
		if err != nil {
			return err
		}
		words = append(words, "-overlay="+file)
	}
	if _, err := goCommand(ctx, p.Platform, p.Module, append(words, p.Main)...); err != nil {
		return fmt.Errorf("building %s for %s %s: %w", p.Main, p.OS, p.Arch, err)
	}
	return nil
}

// overlay writes the files, and one that tells the go command of them.
func (p Program) overlay(dir string) (string, error) {
	var o struct{ Replace map[string]string }
	o.Replace = map[string]string{}
	module, err := filepath.Abs(p.Module)
	if err != nil {
		return "", err
	}
	for i, name := range slices.Sorted(maps.Keys(p.Files)) {
		file := filepath.Join(dir, strconv.Itoa(i))
		if err := os.WriteFile(file, p.Files[name], 0o600); err != nil {
			return "", err
		}
		o.Replace[filepath.Join(module, filepath.FromSlash(name))] = file
	}
	text, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, text, 0o600)
}

// goCommand runs the go command in a module. What the environment could change
// in a program is set, whatever it was.
func goCommand(ctx context.Context, p Platform, module string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = module
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=", "GOEXPERIMENT=", "GODEBUG=", "GOFIPS140=off", "GOWORK=off", "GOTOOLCHAIN=local")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// checkStatic checks that a program needs nothing beside itself to run.
func checkStatic(program []byte) error {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("leapd: %w", err)
	}
	if f.Machine != elf.EM_X86_64 {
		return fmt.Errorf("leapd is built for %s", f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			return fmt.Errorf("leapd is linked dynamically: build it with CGO_ENABLED=0")
		}
	}
	return nil
}

// kernel returns the kernel, of the module that the source's go.mod names or
// of a file.
func (o Options) kernel(ctx context.Context) (part, error) {
	path := o.Kernel
	if path == "" {
		// Not "go list": this one also downloads, and checks against go.sum.
		out, err := goCommand(ctx, nodes, o.Source, "mod", "download", "-json", kernelModule)
		if err != nil {
			return part{}, fmt.Errorf("kernel: %w", err)
		}
		var module struct{ Dir string }
		if err := json.Unmarshal(out, &module); err != nil {
			return part{}, fmt.Errorf("kernel: %w", err)
		}
		path = filepath.Join(module.Dir, "vmlinuz")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return part{}, fmt.Errorf("kernel: %w", err)
	}
	version, err := kernelVersion(data)
	if err != nil {
		return part{}, fmt.Errorf("kernel %s: %w", path, err)
	}
	return part{version, data}, nil
}

// kernelVersion reads the version in the header of a bzImage (Linux,
// Documentation/arch/x86/boot.rst, "kernel_version").
func kernelVersion(image []byte) (string, error) {
	const magic, pointer, base = 0x202, 0x20e, 0x200
	if len(image) < pointer+2 || !bytes.Equal(image[magic:magic+4], []byte("HdrS")) {
		return "", fmt.Errorf("it is no bzImage")
	}
	at := base + int(binary.LittleEndian.Uint16(image[pointer:]))
	if at >= len(image) {
		return "", fmt.Errorf("its header names no version")
	}
	text, _, _ := bytes.Cut(image[at:min(at+100, len(image))], []byte{0})
	version, _, _ := strings.Cut(string(text), " ")
	return version, nil
}
