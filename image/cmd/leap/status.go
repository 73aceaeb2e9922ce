package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"leap.example/appliance/node"
	"leap.example/updater/target"
)

// nodeStatus is what a node says of itself, or why it says nothing.
type nodeStatus struct {
	Node      string       `json:"node"`
	Status    *node.Status `json:"status,omitempty"`
	Attention []string     `json:"attention,omitempty"`
}

func (a *app) statusCommand() *cobra.Command {
	var at reach
	cmd := &cobra.Command{
		Use: "status [FILTER]", Short: "Ask nodes how they are",
		Long: `Ask nodes how they are: release, generation, clock, disk, memory, services, and
when the first of their certificates ends. Exit status 2 if something wants
attention: of nodes, or of the certificates of authorities and operators.`,
		RunE: func(cmd *cobra.Command, words []string) error {
			i, nodes, clients, err := a.reachNodes(cmd.Context(), words, at)
			if err != nil {
				return err
			}
			if err := i.Ending(a.now()); err != nil {
				a.status = exitWarnings
				a.warnf("%v", err)
			}
			all := make([]nodeStatus, len(nodes))
			var wg sync.WaitGroup
			for k, n := range nodes {
				wg.Go(func() {
					s, err := clients[k].Status(cmd.Context())
					if all[k] = (nodeStatus{Node: n.Name}); err != nil {
						all[k].Attention = []string{err.Error()}
						return
					}
					all[k].Status, all[k].Attention = &s, attention(s, a.now())
				})
			}
			wg.Wait()
			for _, s := range all {
				if len(s.Attention) > 0 {
					a.status = exitWarnings
				}
			}
			return a.print(all, func() { a.statusText(all) })
		},
	}
	at.flags(cmd)
	return cmd
}

// endSoon is how long before its end a certificate is complained about.
const endSoon = 30 * 24 * time.Hour

// lowDisk is the share of a node's disk that should be free.
const lowDisk = 10 // One of so many.

// attention lists what wants an operator.
func attention(s node.Status, now time.Time) (list []string) {
	list = append(list, s.Trouble...)
	switch {
	case s.Current.Number == 0:
		list = append(list, "waits for its first document: leap deploy "+s.Node)
	case s.Current.State != node.StateGood:
		list = append(list, strings.TrimSuffix(fmt.Sprintf("generation %d is %s: %s", s.Current.Number, s.Current.State, s.Current.Reason), ": "))
	}
	if s.Image.State == node.StateTrial {
		list = append(list, fmt.Sprintf("release %s is on trial, with %d starts left", s.Release, s.Image.Left))
	}
	for _, b := range s.Image.Bad {
		if target.Compare(b.Version, s.Release) > 0 {
			list = append(list, fmt.Sprintf("release %s is bad here: %s", b.Version, b.Reason))
		}
	}
	if off := s.Now.Sub(now); !s.Now.IsZero() && off.Abs() > time.Minute {
		list = append(list, fmt.Sprintf("its clock is off by %v", off.Round(time.Second)))
	}
	if !s.Now.IsZero() && !s.ClockKnown {
		list = append(list, "it does not know what time it is: no time server has told it yet")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Certificates)) {
		if end := s.Certificates[name]; now.Add(endSoon).After(end) {
			list = append(list, fmt.Sprintf("its certificate %s ends on %s: leap deploy %s renews what the provider's own authorities have signed", name, day(end), s.Node))
		}
	}
	if s.Disk.Size > 0 && s.Disk.Free < s.Disk.Size/lowDisk {
		list = append(list, fmt.Sprintf("its disk has %d of %d MB free", s.Disk.Free>>20, s.Disk.Size>>20))
	}
	return append(list, unwell(s)...)
}

// unwell lists the services that are not healthy.
func unwell(s node.Status) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Services)) {
		if v := s.Services[name]; !v.Running || !v.Healthy {
			list = append(list, strings.TrimSuffix(name+" is not healthy: "+v.Error, ": "))
		}
	}
	return list
}

// releaseText is the release that runs, and how it came to run if that is unusual.
func releaseText(s node.Status) string {
	switch {
	case s.Image.Loader == "":
		return s.Release + " (no boot loader)"
	case s.Image.State == node.StateTrial:
		return s.Release + " (trial)"
	case s.Image.State == node.StateBad:
		return s.Release + " (bad, and the only one)"
	}
	return s.Release
}

// until is when the first of some certificates ends.
func until(certificates map[string]time.Time) string {
	if len(certificates) == 0 {
		return "-"
	}
	return "until " + day(slices.MinFunc(slices.Collect(maps.Values(certificates)), time.Time.Compare))
}

func (a *app) statusText(all []nodeStatus) {
	rows := [][]string{{"NODE", "RELEASE", "GENERATION", "SERVICES", "FREE MEMORY", "FREE DISK", "CERTIFICATES"}}
	for _, s := range all {
		if s.Status == nil {
			rows = append(rows, []string{s.Node, "not reached"})
			continue
		}
		healthy := 0
		for _, v := range s.Status.Services {
			if v.Running && v.Healthy {
				healthy++
			}
		}
		rows = append(rows, []string{
			s.Node, releaseText(*s.Status), strings.TrimSpace(fmt.Sprintf("%d %s", s.Status.Current.Number, s.Status.Current.State)),
			fmt.Sprintf("%d of %d healthy", healthy, len(s.Status.Services)),
			fmt.Sprintf("%d MB", s.Status.Memory.Available>>20), fmt.Sprintf("%d MB", s.Status.Disk.Free>>20), until(s.Status.Certificates),
		})
	}
	a.table(rows)
	for _, s := range all {
		if s.Status != nil && s.Status.Bad.Number > 0 {
			a.sayf("%s: went back from generation %d: %s", s.Node, s.Status.Bad.Number, s.Status.Bad.Reason)
		}
		if s.Status != nil {
			if text := updateText(s.Status.Update); text != "" {
				a.sayf("%s: %s", s.Node, text)
			}
		}
		for _, text := range s.Attention {
			a.warnf("%s: %s", s.Node, text)
		}
	}
}

func (a *app) logsCommand() *cobra.Command {
	var (
		service string
		count   int
		follow  bool
		at      reach
	)
	cmd := &cobra.Command{
		Use: "logs [FILTER]", Short: "Show what services of nodes have written",
		RunE: func(cmd *cobra.Command, words []string) error {
			_, nodes, clients, err := a.reachNodes(cmd.Context(), words, at)
			if err != nil {
				return err
			}
			var (
				wg     sync.WaitGroup
				mu     sync.Mutex // Guards the output.
				failed int
			)
			for k, n := range nodes {
				wg.Go(func() {
					err := clients[k].Logs(cmd.Context(), service, count, follow, func(l node.LogLine) error {
						mu.Lock()
						defer mu.Unlock()
						return a.logLine(n.Name, l)
					})
					mu.Lock()
					defer mu.Unlock()
					if err != nil && cmd.Context().Err() == nil {
						failed++
						a.warnf("%s: %v", n.Name, err)
					}
				})
			}
			wg.Wait()
			if failed > 0 {
				return fmt.Errorf("%d of %d nodes gave no logs", failed, len(nodes))
			}
			return nil // An interrupt is how following ends.
		},
	}
	f := cmd.Flags()
	f.StringVarP(&service, "service", "s", "", "only this `service`, by leapd's name, or agent")
	f.IntVarP(&count, "lines", "n", 100, "`number` of lines to begin with")
	f.BoolVarP(&follow, "follow", "f", false, "go on with new lines")
	at.flags(cmd)
	return cmd
}

func (a *app) logLine(name string, l node.LogLine) error {
	if a.json {
		return json.NewEncoder(a.out).Encode(struct {
			Node string `json:"node"`
			node.LogLine
		}{name, l})
	}
	_, err := fmt.Fprintf(a.out, "%s %s/%s %s\n", l.Time.UTC().Format(time.RFC3339), name, l.Service, l.Text)
	return err
}
