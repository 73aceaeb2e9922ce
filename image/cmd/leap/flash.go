package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"

	"github.com/spf13/cobra"

	"leap.example/image/disk"
	"leap.example/image/release"
)

func (a *app) flashCommand() *cobra.Command {
	var image, version, size, out string
	cmd := &cobra.Command{
		Use: "flash FILE|DEVICE", Short: "Write a disk from which a node starts", Args: args(cobra.ExactArgs(1)),
		Long: `Write a disk from which a node starts: onto a device of this machine, or into a file
for a virtual machine. It is the same for all nodes; which node it is the machine
learns from a second, small disk ("leap node identity").

All that is on the device is lost. It asks first, and refuses a device of which any
part is mounted or used otherwise. What was written is read back and compared. A
disk that is larger than the image is used to its end.`,
		Example: "  leap flash /dev/sdb\n  leap flash web1.img --size 20G",
		RunE: func(cmd *cobra.Command, args []string) error {
			target := args[0]
			if image == "" {
				r, err := release.Open(a.releases(out), version)
				if err != nil {
					return err
				}
				image = r.Disk()
				if _, err := os.Stat(image); err != nil {
					return fmt.Errorf("release %s was built without a disk image: %w", r.Version, err)
				}
			}
			if err := a.destroy(target); err != nil {
				return err
			}
			if err := enlarge(target, size); err != nil {
				return err
			}
			bar := a.bar(cmd.Context(), "writing and comparing")
			err := disk.Flash(cmd.Context(), target, image, bar.at)
			bar.end()
			if err != nil {
				return err
			}
			a.sayf("%s is written and compared; next: leap node identity NAME, and start the machine with both disks", target)
			return a.print(map[string]string{"target": target, "image": image}, func() {})
		},
	}
	f := cmd.Flags()
	f.StringVar(&image, "image", "", "`file` of a disk image (default that of the newest release built here)")
	f.StringVar(&version, "release", "", "`version` of a release built here (default the newest)")
	f.StringVar(&size, "size", "", "`size` of a file, like 20G: all that is beyond the release is the node's")
	f.StringVar(&out, "out", "", "`directory` of releases (default ~/.cache/leap/releases)")
	return cmd
}

// destroy asks before what is on a disk or in a file is lost.
func (a *app) destroy(target string) error {
	what, err := disk.Describe(target)
	if err != nil || what == "" {
		return err
	}
	return a.confirm("All that is on " + what + " will be lost.")
}

var sizeForm = regexp.MustCompile(`^([1-9][0-9]{0,6})([MGT])$`)

// enlarge makes a file at least as large as size says, if it says something. What is
// in it stays.
func enlarge(target, size string) error {
	if size == "" {
		return nil
	}
	m := sizeForm.FindStringSubmatch(size)
	if m == nil {
		return fmt.Errorf("--size is a number with M, G or T, like 20G, and not %q", size)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return err
	}
	n <<= map[string]int{"M": 20, "G": 30, "T": 40}[m[2]]
	if info, err := os.Stat(target); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("--size is for files, and %s is none: a device is used to its end", target)
	} else if err == nil && info.Size() >= n {
		return nil
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close() // Truncate says what went wrong.
	return f.Truncate(n)
}
