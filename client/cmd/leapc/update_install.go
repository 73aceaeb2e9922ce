package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"leap.example/client/unit"
	"leap.example/client/update"
	"leap.example/client/update/oneshot"
)

// systemUnits is where the units of the system are.
const systemUnits = "/etc/systemd/system"

func (a *app) updateInstall() *cobra.Command {
	var root string
	var sources []string
	var system bool
	cmd := &cobra.Command{
		Use:   "install DIRECTORY",
		Short: "Put this program where it can be updated",
		Long: `Put this program where it can be updated: a directory with its versions side by
side, and a link to the one that is started,

  DIRECTORY/current/leapc

Start it from there, or make a link to that in your PATH. The directory belongs to
who runs this command, and "leapc update apply" updates it when he says so. With
--system, which is for root, a unit of systemd does so by itself, and the directory
must lie where only root can write, and in no home.

--root and --source name a vendor in the place of the one that this program was
built with: the root of its repository, a file that you have from somebody whom you
trust, and where it publishes. They are written to DIRECTORY/vendor.json.`,
		Example: "  sudo leapc update install --system /opt/leap\n  leapc update install ~/.local/lib/leap --root 1.root.json --source https://vendor.example/leap/",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			if system && os.Geteuid() != 0 {
				return usageError{errors.New("--system is for root: repeat it with sudo")}
			}
			dir, err := filepath.Abs(words[0])
			if err != nil {
				return err
			}
			p := update.Prefix(dir)
			v, err := vendorOf(root, sources)
			if err != nil {
				return err
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			if system { // Before anything is written.
				if err := unit.Owned(update.Above(p)); err != nil {
					return err
				}
			}
			if err := update.Install(cmd.Context(), p, program, ownVersion(), v); err != nil {
				return err
			}
			if system {
				if err := (oneshot.Install{Dir: systemUnits, Prefix: p}).Write(); err != nil {
					return fmt.Errorf("%w\n%s is installed, but nothing updates it", err, p.Start())
				}
				for _, words := range [][]string{{"daemon-reload"}, {"restart", oneshot.Listen, oneshot.Timer}} {
					if err := systemctl(cmd.Context(), words...); err != nil {
						return err
					}
				}
			}
			return a.done("%s is installed\nnext: %s update check", p.Start(), p.Start())
		},
	}
	cmd.Flags().BoolVar(&system, "system", false, "have systemd update it by itself, as root")
	cmd.Flags().StringVar(&root, "root", "", "`file` of the root of the vendor's repository")
	cmd.Flags().StringSliceVar(&sources, "source", nil, "`URL` of the repository or a mirror; several are asked in order")
	return cmd
}

// vendorOf reads the vendor that the command line names; nil: it names none.
func vendorOf(root string, sources []string) (*update.Vendor, error) {
	if root == "" && len(sources) == 0 {
		return nil, nil
	}
	if root == "" || len(sources) == 0 {
		return nil, usageError{errors.New("--root and --source belong together: a root says whom to trust, a source where it is")}
	}
	f, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, err
	}
	return &update.Vendor{Root: text, Sources: sources}, nil
}

func (a *app) updateUninstall() *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall",
		Short: "As root, remove the unit that updates this program; the program stays",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, unit := range []string{oneshot.Timer, oneshot.Listen} {
				if _, err := os.Stat(filepath.Join(systemUnits, unit)); err != nil {
					continue // It is not installed.
				}
				if err := systemctl(cmd.Context(), "stop", unit); err != nil {
					return err
				}
			}
			if err := (oneshot.Install{Dir: systemUnits}).Remove(); err != nil {
				return err
			}
			if err := systemctl(cmd.Context(), "daemon-reload"); err != nil {
				return err
			}
			return a.done("this program is not updated by itself any more")
		},
	}
}
