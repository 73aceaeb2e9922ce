package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"leap.example/services/bigcouch"
)

// couchRelease shows the promises of a stopped node, or takes them back.
func couchRelease(cmd *cobra.Command, cfg bigcouch.Config, only []uint16, yes, asJSON bool) error {
	var list []bigcouch.Promise
	var err error
	if yes {
		list, err = bigcouch.Release(cfg, only, commandLog(cmd))
	} else {
		list, err = bigcouch.Promises(cfg, commandLog(cmd))
	}
	if err != nil {
		return stopped(fmt.Errorf("promises of %s: %w", cfg.Dir, err))
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), list)
	}
	for _, p := range list {
		fmt.Fprintf(cmd.OutOrStdout(), "shard %d: promised to %s\n", p.Shard, p.To)
	}
	switch {
	case len(list) == 0:
		fmt.Fprintln(cmd.OutOrStdout(), "nothing is promised that is not founded")
	case yes:
		fmt.Fprintf(cmd.OutOrStdout(), "released\nnext: start this node; the first node of each shard in the placement founds it when all have been released\n")
	default:
		fmt.Fprintln(cmd.OutOrStdout(), "nothing was changed: when they are gone for good, with their disks, run it with --yes")
	}
	return nil
}
