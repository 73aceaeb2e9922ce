package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"leap.example/appliance/efi"
	"leap.example/appliance/node"
	"leap.example/image/release"
	"leap.example/image/uki"
)

// leastRAM is what a machine must have for a release to start, MiB.
const leastRAM = 512

func (a *app) imageCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "image", Short: "Releases: what all nodes run",
		Long: `A release is one file that all nodes of all providers run: a kernel and one
program. What makes a node of it comes with "leap deploy".`,
	}, a.imageBuild(), a.imageTree(), a.imageList())
}

// building is how a release is built.
type building struct {
	source, program, kernel  string
	version, built           string
	signCert, signKey, roots string
	vendor                   string
	out                      string
	noDisk                   bool
}

func (a *app) imageBuild() *cobra.Command {
	var b building
	cmd := &cobra.Command{
		Use: "build", Short: "Build a release, and a disk that starts it", Args: args(cobra.NoArgs),
		Long: `Build a release from this program's source: one EFI file, the same bytes wherever
and whenever it is built, and beside it what it consists of (SBOM), the same file
packed with zstd for others to fetch, and a disk image for "leap flash".

It needs Go, and Debian's package systemd-boot-efi. The source is where this program
lies in, or this directory, or --source. Its last commit gives the time and, if
--release does not, the version.

With --sign-key and --sign-cert release and boot loader are signed for Secure Boot.
Give the certificate alone to build again what others have signed: nodes take the
next release by it.

With --vendor-root nodes with the release update themselves from the repository that
root.json is of and from no other, whatever their documents say.`,
		Example: "  leap image build\n  leap image build --release 1.0.0 --sign-key db.key --sign-cert db.crt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := a.build(cmd.Context(), b)
			if err != nil {
				return err
			}
			return a.print(r, func() { a.tellRelease(r) })
		},
	}
	f := cmd.Flags()
	b.flags(f)
	f.StringVar(&b.out, "out", "", "`directory` of releases (default ~/.cache/leap/releases)")
	f.BoolVar(&b.noDisk, "no-disk", false, "no disk image")
	return cmd
}

// flags are those of all that builds an image.
func (b *building) flags(f *pflag.FlagSet) {
	f.StringVar(&b.source, "source", "", "`directory` of the source")
	f.StringVar(&b.program, "program", "", "`file` of a leapd that is built already")
	f.StringVar(&b.kernel, "kernel", "", "`file` of a kernel, instead of the one that the source names")
	f.StringVar(&b.version, "release", "", "`version` of the release, like 1.4.0")
	f.StringVar(&b.built, "built", "", "`time` when the source was last changed, like 2026-01-31T12:00:00Z")
	f.StringVar(&b.signKey, "sign-key", "", "`file` of the RSA key that signs, PKCS #8 in PEM")
	f.StringVar(&b.signCert, "sign-cert", "", "`file` of its certificate, PEM")
	f.StringVar(&b.roots, "ca-bundle", "", "`file` of authorities that nodes trust outside, PEM")
	f.StringVar(&b.vendor, "vendor-root", "", "`file` with the root of the repository of releases, root.json")
}

// releases is the directory of releases.
func (a *app) releases(out string) string { return or(out, filepath.Join(a.cache, "releases")) }

// options says how an image is made. The source is found only if it is needed.
func (a *app) options(ctx context.Context, b building, needed bool) (o uki.Options, err error) {
	o = uki.Options{Program: b.program, Kernel: b.kernel, Services: slices.Concat([]string{"agent"}, node.Services())}
	if needed {
		if o.Source, err = findSource(b.source); err != nil {
			return o, err
		}
	}
	built, err := a.builtAt(ctx, b.built, o.Source)
	if err != nil {
		return o, err
	}
	version := or(b.version, built.Format("2006.0102.1504"))
	o.Release = efi.Release{Version: version, OldestSchema: node.OldestSchema, NewestSchema: node.Schema, LeastRAM: leastRAM, Built: built}
	for _, f := range []struct {
		path string
		into *[]byte
	}{{b.signKey, &o.Key}, {b.signCert, &o.Certificate}, {b.roots, &o.CABundle}, {b.vendor, &o.Vendor}} {
		if f.path != "" {
			if *f.into, err = os.ReadFile(f.path); err != nil {
				return o, err
			}
		}
	}
	return o, nil
}

// build builds a release and keeps it.
func (a *app) build(ctx context.Context, b building) (*release.Release, error) {
	o, err := a.options(ctx, b, b.program == "" || b.kernel == "")
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(a.errs, "building release %s\n", o.Release.Version)
	made, err := uki.Make(ctx, o)
	if err != nil {
		return nil, err
	}
	bar := a.bar(ctx, "disk image")
	defer bar.end()
	return release.Keep(ctx, a.releases(b.out), made, release.Options{
		Version: o.Release.Version, Built: o.Release.Built, Signed: len(o.Key) > 0, Disk: !b.noDisk, Told: bar.at,
	})
}

func (a *app) tellRelease(r *release.Release) {
	rows := [][]string{}
	for _, f := range r.Files {
		rows = append(rows, []string{f.SHA256, fmt.Sprintf("%.1f MB", float64(f.Size)/1e6), f.Name})
	}
	a.table(rows)
	a.sayf("release %s is in %s", r.Version, r.Dir)
	if !r.Signed {
		a.sayf("it is not signed: machines with Secure Boot do not start it (--sign-key)")
	}
}

func (a *app) imageList() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "ls", Short: "List the releases that were built here", Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			list, err := release.List(a.releases(dir))
			if err != nil {
				return err
			}
			return a.print(list, func() {
				rows := [][]string{{"VERSION", "BUILT", "SIGNED", "IN"}}
				for _, r := range list {
					rows = append(rows, []string{r.Version, r.Built.Format(time.DateTime), strconv.FormatBool(r.Signed), r.Dir})
				}
				a.table(rows)
			})
		},
	}
	cmd.Flags().StringVar(&dir, "out", "", "`directory` of releases (default ~/.cache/leap/releases)")
	return cmd
}

// module is the line by which this program's source is known.
const module = "module leap.example\n"

// findSource returns the directory of the source: the one that is given, or one
// that this program or the working directory lies in.
func findSource(dir string) (string, error) {
	from := []string{dir}
	if dir == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		here, err := os.Getwd()
		if err != nil {
			return "", err
		}
		from = []string{filepath.Dir(self), here}
	}
	for _, at := range from {
		at, err := filepath.Abs(at)
		if err != nil {
			return "", err
		}
		for {
			text, err := os.ReadFile(filepath.Join(at, "go.mod"))
			if err == nil && bytes.HasPrefix(text, []byte(module)) {
				return at, nil
			}
			up := filepath.Dir(at)
			if dir != "" || up == at {
				break
			}
			at = up
		}
	}
	if dir != "" {
		return "", fmt.Errorf("%s is not the source of leap: it has no go.mod that begins with %q", dir, strings.TrimSpace(module))
	}
	return "", errors.New("a release is built from the source, which is not here: name its directory with --source")
}

// builtAt is when the source was last changed: as it is given, as the variable
// of reproducible-builds.org says, or as git knows.
func (a *app) builtAt(ctx context.Context, given, source string) (time.Time, error) {
	if given != "" {
		t, err := time.Parse(time.RFC3339, given)
		if err != nil {
			return t, fmt.Errorf("--built is a time like 2026-01-31T12:00:00Z: %w", err)
		}
		return t.UTC(), nil
	}
	if s := os.Getenv("SOURCE_DATE_EPOCH"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is no number of seconds: %w", err)
		}
		return time.Unix(n, 0).UTC(), nil
	}
	out, err := git(ctx, source, "log", "-1", "--format=%ct")
	var n int64
	if err == nil {
		n, err = strconv.ParseInt(out, 10, 64)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("git does not say when the source was last changed: give --built, like --built %s: %w", a.now().UTC().Format(time.RFC3339), err)
	}
	if changed, err := git(ctx, source, "status", "--porcelain"); err == nil && changed != "" {
		a.warnf("the source has changes that are not committed: nobody else can build this release")
	}
	return time.Unix(n, 0).UTC(), nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	if dir == "" {
		return "", errors.New("there is no source")
	}
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
	return strings.TrimSpace(string(out)), err
}
