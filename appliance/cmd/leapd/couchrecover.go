package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/store"
)

func couchVerifyCommand() *cobra.Command {
	var config, dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read the whole store of a stopped node and check it",
		Long: `Read the whole store of a stopped node and check it: every checksum, every row,
and what rows say of each other: revisions and bodies, changes, counters,
attachments with their SHA-256, indexes, the catalogue. Nothing is changed.

To check a running node, make a checkpoint and verify that:

  NAME=$(leapd couch checkpoint) && leapd couch verify --dir DIR/$NAME
  leapd couch checkpoint --remove $NAME

Exit status 1 if something is wrong; then restore the node from a backup, or in a
cluster empty its directory: it copies everything from the others.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readDatabase(config)
			if err != nil {
				return err
			}
			if dir != "" {
				cfg.Dir = dir
			}
			m := newMeter(cmd, "verify", false)
			r, err := bigcouch.Verify(cmd.Context(), cfg, func(rows int) { m.at(int64(rows)) }, commandLog(cmd))
			m.end()
			if err != nil {
				return stopped(fmt.Errorf("verifying %s: %w", cfg.Dir, err))
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), r)
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "%d shards, %d databases, %d documents with %d leaves, %d attachments; %d rows read\n",
					r.Shards, r.Databases, r.Documents, r.Leaves, r.Attachments, r.Rows)
			}
			return errors.Join(err, printReport(cmd, r, asJSON))
		},
	}
	cmd.Flags().StringVar(&config, "config", defaultConfig, "configuration `file` of the database")
	cmd.Flags().StringVar(&dir, "dir", "", "`directory` of the store or checkpoint (default that of the configuration)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printReport prints what was found, if programs do not read it already, and
// returns an error if that is bad.
func printReport(cmd *cobra.Command, r *store.Report, asJSON bool) error {
	if !asJSON {
		for _, f := range r.Findings {
			fmt.Fprintln(cmd.OutOrStdout(), f)
		}
		for _, f := range r.Notes {
			fmt.Fprintln(cmd.OutOrStdout(), "note:", f)
		}
	}
	if n := len(r.Findings) + r.More; n > 0 {
		return unwell("%d things in the store are not as they should be", n)
	}
	return nil
}

// stopped adds what to do when the store cannot be opened.
func stopped(err error) error {
	if strings.Contains(err.Error(), "lock") || strings.Contains(err.Error(), "temporarily unavailable") {
		return fmt.Errorf("%w\nthe node must be stopped", err)
	}
	return err
}

func couchRecoverCommand() *cobra.Command {
	var config string
	var shards []uint
	var yes, asJSON, promises bool
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Go on with one node after a majority is lost for good",
		Long: `Go on with one node after the majority of a shard's nodes is lost for good.

1. Stop all nodes that are left. Run this command on each, without --yes: it
   changes nothing, and shows what each has. The survivor is the node with the
   highest last term, and among equal terms the highest last index. Different
   shards may have different survivors.
2. Run it on the survivor with --yes, with --shards if it is not for all. It makes
   a checkpoint of the store first. From then on the node holds the shards alone.
   Entries beyond what is applied count, whether or not they had a majority; what
   the lost nodes had acknowledged and the survivor has not is gone.
3. Empty the directories of the other nodes, all of them: with what they have they
   would be another history.
4. Start the survivor, then the others: they copy from it. Clients that follow
   changes begin anew.

With a configuration without a cluster the node goes on by itself.

With --release it is about shards that are not founded yet, since they are promised
to a node that was lost before it could found them, and now the placement has
another in its place. (A node that comes back wiped, under its name, needs none of
this.) The nodes that wait say so in "leapd couch status". Stop each of them, run
this command with --release, and with --yes, and start it.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readDatabase(config)
			if err != nil {
				return err
			}
			var only []uint16
			for _, n := range shards {
				if n > 1<<16-1 {
					return mistake(cmd, fmt.Errorf("no such shard: %d", n))
				}
				only = append(only, uint16(n))
			}
			if promises {
				return couchRelease(cmd, cfg, only, yes, asJSON)
			}
			if !yes {
				list, err := bigcouch.Survey(cfg, commandLog(cmd))
				if err != nil {
					return stopped(fmt.Errorf("looking at %s: %w", cfg.Dir, err))
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), list)
				}
				if err := printRemains(cmd, list); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "nothing was changed: compare this with the other nodes that are left, and run it with --yes on the survivor")
				return nil
			}
			done, err := bigcouch.Recover(cfg, only, commandLog(cmd))
			if err != nil {
				return stopped(fmt.Errorf("recovering %s: %w", cfg.Dir, err))
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), done)
			}
			if err := printRemains(cmd, done.Shards); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), `recovered; the store as it was is in %s/%s
next: empty the directories of all other nodes, start this node, then the others
      when all is well: leapd couch checkpoint --remove %s
`, cfg.Dir, done.Checkpoint, done.Checkpoint)
			return nil
		},
	}
	cmd.Flags().StringVar(&config, "config", defaultConfig, "configuration `file` of the database")
	cmd.Flags().UintSliceVar(&shards, "shards", nil, "`numbers` of the shards, with commas (default all that the node has)")
	cmd.Flags().BoolVar(&promises, "release", false, "take back promises of shards to a founder who is gone for good")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printRemains(cmd *cobra.Command, list []bigcouch.Remains) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "shard\tlast term\tlast index\tapplied\tbeyond\tvoters\tgoes on with")
	for _, r := range list {
		survivor := r.Survivor
		if survivor == "" {
			survivor = "this node by itself"
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%s\t%s\n", r.Shard, r.LastTerm, r.LastIndex, r.Applied, r.Beyond, strings.Join(r.Voters, ","), survivor)
	}
	return w.Flush()
}
