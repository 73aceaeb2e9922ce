package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/backup"
	"leap.example/services/bigcouch/store"
)

type backupSource = bigcouch.BackupSource

func couchRestoreCommand() *cobra.Command {
	var config, dir, identity string
	var from []string
	var where backup.Location
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "restore --from BACKUP --identity FILE",
		Short: "Make the database of a node out of backups",
		Long: `Make the database of a node out of backups. The node is stopped, and its
directory is empty or not there.

--from names a backup, or a place of backups: then the latest of each node there
is taken. Of each shard the latest that is among them is restored; together they
must have all shards. Everything is compared with the digests in the backup
before it counts: until then the database does not start. What an interrupted
restore has left is removed by the next.

If the configuration names a cluster, the node holds all shards alone at first.
Start it, then the other nodes with empty directories: they copy from it.
Clients that follow changes begin anew.`,
		Example: `  leapd couch restore --from /backup --identity operator.key --config FILE
  leapd couch restore --from s3://backups/db --s3-credentials FILE --identity operator.key`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readDatabase(config)
			if err != nil {
				return err
			}
			if dir != "" {
				cfg.Dir = dir
			}
			with, err := identities(identity)
			if err != nil {
				return fmt.Errorf("%w\nthe identity is the file that \"leapd couch backup-key\" has made", err)
			}
			list, err := sources(cmd.Context(), where, from)
			if err != nil {
				return err
			}
			m := newMeter(cmd, "restore", true)
			done, err := bigcouch.Restore(cmd.Context(), cfg, list, with, m.at, commandLog(cmd))
			m.end()
			if err != nil {
				return fmt.Errorf("restoring %s: %w%s", cfg.Dir, err, afterRestore(err, cfg.Dir))
			}
			return printRestored(cmd, cfg, done, asJSON)
		},
	}
	cmd.Flags().StringVar(&config, "config", defaultConfig, "configuration `file` of the database")
	cmd.Flags().StringVar(&dir, "dir", "", "`directory` of the database (default that of the configuration)")
	cmd.Flags().StringArrayVar(&from, "from", nil, "backup, or `place` of backups: a file, a directory, s3://BUCKET/PREFIX; may be repeated")
	cmd.Flags().StringVar(&identity, "identity", "", "`file` with the identity that opens them")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	s3Flags(cmd, &where)
	_ = cmd.MarkFlagRequired("from")     // It is there.
	_ = cmd.MarkFlagRequired("identity") // It is there.
	return cmd
}

// afterRestore says what to do about an error.
func afterRestore(err error, dir string) string {
	switch {
	case errors.Is(err, store.ErrOccupied):
		return "\nstop the node and move the directory away: nothing is restored over a database"
	case errors.Is(err, backup.ErrIdentity):
		return "\nthis backup was encrypted to another key"
	case errors.Is(err, backup.ErrMalformed):
		return "\nthe backup is damaged or was changed: take another one"
	}
	return ""
}

// commandLog is where parts that log do so during a command.
func commandLog(cmd *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func printRestored(cmd *cobra.Command, cfg bigcouch.Config, done *bigcouch.Restored, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		if err := printJSON(out, done); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "shard\ttaken\tindex\tbytes\tfrom")
		for _, s := range done.Shards {
			fmt.Fprintf(w, "%d\t%s\t%d\t%d\t%s\n", s.Shard.Shard, s.Taken.Format(time.RFC3339), s.Index, s.Bytes, s.From)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(out, "restored %s: %d databases, %d documents\n", cfg.Dir, done.Report.Databases, done.Report.Documents)
		if cfg.Cluster != nil {
			others := []string{}
			for _, n := range cfg.Cluster.Nodes {
				if n.Name != cfg.Cluster.Node {
					others = append(others, n.Name)
				}
			}
			fmt.Fprintf(out, "next: start this node, then %s with empty directories\n", strings.Join(others, ", "))
		} else {
			fmt.Fprintln(out, "next: start this node")
		}
	}
	return printReport(cmd, done.Report, true)
}
