package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"leap.example/services/bigcouch"
)

// couchCommand is what an operator does to the database of a node by hand.
func couchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "couch", Short: "Look after the database of this node", Args: args(cobra.NoArgs),
		Long: `Look after the database of this node.

While it runs: status, digest, backup, checkpoint. While it is stopped: verify,
restore, recover, seal. Exit status 0 done, 1 done and something is wrong, 125 not
done: read the message.`,
	}
	cmd.AddCommand(
		couchStatusCommand(), couchDigestCommand(), couchCheckpointCommand(),
		couchBackupCommand(), couchBackupKeyCommand(), couchRestoreCommand(),
		couchVerifyCommand(), couchRecoverCommand(), couchSealCommand(), couchKeysCommand())
	return cmd
}

// withDatabase gives a command the flag --config, and the section of the
// database that is there.
func withDatabase(cmd *cobra.Command, run func(*cobra.Command, bigcouch.Config) error) *cobra.Command {
	config := cmd.Flags().String("config", defaultConfig, "configuration `file` of the database")
	cmd.Args = args(cobra.NoArgs)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := readDatabase(*config)
		if err != nil {
			return err
		}
		return run(cmd, cfg)
	}
	return cmd
}

func couchSealCommand() *cobra.Command {
	return withDatabase(&cobra.Command{
		Use:   "seal",
		Short: "Seal a database that lies on the disk in the clear",
		Long: `Seal a database that lies on the disk in the clear, under the first key of
key_files. Stop the database first. What is interrupted is finished by the same
command; until then the database does not start. The files in the clear are
deleted, not wiped: on most disks what was in them can be found for a while.`,
	}, func(cmd *cobra.Command, cfg bigcouch.Config) error {
		files, err := bigcouch.Seal(cmd.Context(), cfg)
		if err != nil {
			return fmt.Errorf("sealing %s: %w", cfg.Dir, err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d files sealed\n", files)
		return nil
	})
}

func couchKeysCommand() *cobra.Command {
	return withDatabase(&cobra.Command{
		Use:   "keys",
		Short: "List the keys that files of the database are sealed under",
		Long: `List the keys that files of the database are sealed under, the current one
first. An old key that is not listed is needed only for copies of the directory that are older.`,
	}, func(cmd *cobra.Command, cfg bigcouch.Config) error {
		list, err := bigcouch.KeysInUse(cfg)
		if err != nil {
			return err
		}
		for _, k := range list {
			what := "old"
			if k.Current {
				what = "current"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%v  %-7s  %d files\n", k.ID, what, k.Files)
		}
		return nil
	})
}
