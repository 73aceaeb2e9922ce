package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leap.example/appliance/node"
)

// updateNow has nodes that update themselves look, or go on.
func (a *app) updateNow(again bool) *cobra.Command {
	var at reach
	cmd := &cobra.Command{
		Use: "check [FILTER]", Short: "Have nodes that update themselves look for a release now",
		Long: `Have nodes that update themselves ("updates" in common.json) look for a release now,
instead of some hours later. It changes nothing of when their turn is: "leap status"
says what each of them waits for.`,
	}
	if again {
		cmd.Use, cmd.Short = "again NODE", "Have nodes go on that wait because an update went wrong"
		cmd.Long = `Have nodes go on that wait because one of them went back to the release before, or did
not come back: say so once you have looked at it ("leap status", "leap logs").

Any node will do. If NODE itself has found a release bad, it tries that one again.`
	}
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		if again && len(words) == 0 {
			return mistake(cmd, errors.New("name a node"))
		}
		_, nodes, clients, err := a.reachNodes(cmd.Context(), words, at)
		if err != nil {
			return err
		}
		return a.inTurn(nodes, func(k int) error { return clients[k].LookForUpdates(cmd.Context(), again) })
	}
	at.flags(cmd)
	return cmd
}

// updateText is how it stands with updates of a node, in a line. Empty: there is
// nothing to say.
func updateText(u *node.Update) string {
	if u == nil || u.State == node.UpdateNothing && u.Reason == "" {
		return ""
	}
	text := "updates: " + u.State
	if u.Release != "" {
		text += " " + u.Release
	}
	if u.Size > 0 {
		text += fmt.Sprintf(", %d of %d MB", u.Done/1e6, u.Size/1e6)
	}
	if u.Reason != "" {
		text += ": " + strings.ReplaceAll(u.Reason, "\n", "; ")
	}
	if !u.Next.IsZero() && u.State != node.UpdateDownload {
		text += fmt.Sprintf(" (looks again at %s UTC)", u.Next.UTC().Format(time.TimeOnly))
	}
	return text
}
