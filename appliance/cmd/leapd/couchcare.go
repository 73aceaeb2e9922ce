package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/admin"
)

// An asked node is what it has answered.
type asked struct {
	URL      string             `json:"url"`
	Error    string             `json:"error,omitempty"`
	Overview *bigcouch.Overview `json:"overview,omitempty"`
}

func couchStatusCommand() *cobra.Command {
	var node nodeFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how nodes of the database do",
		Long: `Show how nodes of the database do: disk, databases, shards with their leaders and
how far behind this node is, keys, and what somebody should look at. --url may be
repeated: shards are then compared between the nodes. Exit status 1 if a node has
problems or does not answer.
` + nodeHelp,
		Example: `  leapd couch status
  leapd couch status --url http://db1:5984 --url http://db2:5984 --password-file FILE`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			clients, err := node.clients()
			if err != nil {
				return err
			}
			list := askAll(cmd.Context(), clients)
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), list)
			} else {
				err = printStatus(cmd.OutOrStdout(), list)
			}
			return errors.Join(err, judge(list))
		},
	}
	node.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// askAll asks all nodes at once.
func askAll(ctx context.Context, clients []*admin.Client) []asked {
	list := make([]asked, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			defer c.Close()
			list[i].URL = c.URL()
			o, err := c.Overview(ctx)
			if err != nil {
				list[i].Error = err.Error()
				return
			}
			list[i].Overview = &o
		})
	}
	wg.Wait()
	return list
}

// judge returns an error if a node is not well.
func judge(list []asked) error {
	var bad []string
	for _, a := range list {
		if a.Overview == nil {
			bad = append(bad, a.URL+" does not answer")
		} else if n := len(a.Overview.Problems); n > 0 {
			bad = append(bad, fmt.Sprintf("%s has problems", a.Overview.Node))
		}
	}
	if len(bad) > 0 {
		return unwell("%s", strings.Join(bad, ", "))
	}
	return nil
}

func printStatus(out io.Writer, list []asked) error {
	applied := map[uint16]uint64{} // The highest of all nodes.
	for _, a := range list {
		if a.Overview == nil {
			continue
		}
		for _, s := range a.Overview.Shards {
			applied[s.Shard] = max(applied[s.Shard], s.Applied)
		}
	}
	for _, a := range list {
		o := a.Overview
		if o == nil {
			fmt.Fprintf(out, "%s: %s\n\n", a.URL, a.Error)
			continue
		}
		fmt.Fprintf(out, "%s, up for %v, %d databases, %d feeds, %d tasks\n", o.Node, time.Duration(o.Uptime)*time.Second, o.Databases, o.Feeds, len(o.Tasks))
		fmt.Fprintf(out, "disk: %d MB used, %d MB free\n", o.UsedBytes/1e6, o.FreeBytes/1e6)
		for _, k := range o.Keys {
			fmt.Fprintf(out, "key %v: %d files%s\n", k.ID, k.Files, map[bool]string{true: ", current"}[k.Current])
		}
		for _, p := range o.Problems {
			fmt.Fprintf(out, "! %s\n", p)
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "shard\there\tleader\tready\tapplied\tbehind\tvoters\tdigest")
		for _, s := range o.Shards {
			if s.State == "elsewhere" {
				fmt.Fprintf(w, "%d\telsewhere\t\t\t\t\t%s\t\n", s.Shard, strings.Join(s.Wanted, ","))
				continue
			}
			fmt.Fprintf(w, "%d\t%s\t%s\t%v\t%d\t%d\t%s\t%.16s\n", s.Shard, strings.ToLower(s.State), cmp.Or(s.Leader, "-"), s.Ready,
				s.Applied, applied[s.Shard]-s.Applied, cmp.Or(strings.Join(s.Voters, ","), "-"), cmp.Or(s.Digest, "-"))
		}
		fmt.Fprintln(w)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func couchDigestCommand() *cobra.Command {
	var node nodeFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "digest",
		Short: "Compare the copies of all shards",
		Long: `Have every copy of every shard read and hashed at one place of its log, and
compare the digests. A copy that is not what the majority has stops its node. It
reads everything that is stored, so that it finds damage on the disks as well; a
cluster does it daily by itself. Exit status 1 if copies differ or are missing.
` + nodeHelp,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := node.client()
			if err != nil {
				return err
			}
			defer c.Close()
			d, err := c.Compare(cmd.Context())
			if err != nil {
				return fmt.Errorf("asking %s: %w", c.URL(), err)
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), d)
			} else {
				err = printDigests(cmd.OutOrStdout(), d)
			}
			if d.Equal != nil && !*d.Equal {
				err = errors.Join(err, unwell("copies differ or are missing: see \"leapd couch status\" of each node, replace the one that has stopped"))
			}
			return err
		},
	}
	node.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printDigests(out io.Writer, d admin.Digests) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "shard\tindex\tcopies\tdigest\t")
	for _, n := range slices.Sorted(maps.Keys(d.Shards)) {
		s := d.Shards[n]
		if len(s.Digests) == 0 {
			fmt.Fprintf(w, "%d\t%d\t1\t%.16s\t\n", n, s.Index, s.Digest)
			continue
		}
		for _, node := range slices.Sorted(maps.Keys(s.Digests)) {
			fmt.Fprintf(w, "%d\t%d\t%s\t%.16s\t%s\n", n, s.Index, node, s.Digests[node], map[bool]string{true: "DIFFERS"}[slices.Contains(s.Differ, node)])
		}
		for _, node := range s.Missing {
			fmt.Fprintf(w, "%d\t%d\t%s\t\tMISSING\n", n, s.Index, node)
		}
	}
	return w.Flush()
}

func couchCheckpointCommand() *cobra.Command {
	var node nodeFlags
	var drop string
	var list bool
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Make a copy of the store of a running node beside it",
		Long: `Make a copy of the store of a running node, as it is now, in a directory inside
that of the store, and print its name. It takes no space at first; it keeps files
that the store no longer needs: remove it with --remove when it has served, for
example "leapd couch verify --dir". It is sealed as the store is, and lies on the
same disk: it is no backup.
` + nodeHelp,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := node.client()
			if err != nil {
				return err
			}
			defer c.Close()
			var names []string
			switch {
			case drop != "":
				err = c.DropCheckpoint(cmd.Context(), drop)
			case list:
				names, err = c.Checkpoints(cmd.Context())
			default:
				names = make([]string, 1)
				names[0], err = c.Checkpoint(cmd.Context())
			}
			if err != nil {
				return fmt.Errorf("asking %s: %w", c.URL(), err)
			}
			for _, name := range names {
				fmt.Fprintln(cmd.OutOrStdout(), name)
			}
			return nil
		},
	}
	node.add(cmd)
	cmd.Flags().StringVar(&drop, "remove", "", "remove the checkpoint of this `name`")
	cmd.Flags().BoolVar(&list, "list", false, "list those that there are")
	return cmd
}
