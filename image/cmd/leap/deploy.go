package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/image/deploy"
	"leap.example/image/provider"
)

// reach says how a node is reached if not as its file says.
type reach struct {
	ip   string
	port uint16
}

func (r *reach) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.ip, "ip", "", "`address` at which the node is now, if it is not ip_address; with one node")
	cmd.Flags().Uint16Var(&r.port, "port", 0, "`port` of its agent now, if it is another")
}

// reachNodes opens the instance and returns the nodes that words name, with a
// client for each.
func (a *app) reachNodes(ctx context.Context, words []string, at reach) (*provider.Instance, []*provider.Node, []*deploy.Client, error) {
	i, err := a.open()
	if err != nil {
		return nil, nil, nil, err
	}
	nodes, err := a.live(i, words)
	if err != nil {
		return nil, nil, nil, err
	}
	clients, err := a.clients(ctx, i, nodes, at)
	return i, nodes, clients, err
}

// clients returns a client for each node's agent.
func (a *app) clients(ctx context.Context, i *provider.Instance, nodes []*provider.Node, at reach) ([]*deploy.Client, error) {
	if at.ip != "" && len(nodes) != 1 {
		return nil, fmt.Errorf("--ip is for one node, and %d are chosen", len(nodes))
	}
	op, err := a.operator(i)
	if err != nil {
		return nil, err
	}
	access := deploy.Access{Roots: x509.NewCertPool()}
	if access.Certificate, err = i.Certificate(op); err != nil {
		return nil, err
	}
	if !access.Roots.AppendCertsFromPEM(i.Files["ca/node_ca.crt"]) {
		return nil, errors.New("files/ca/node_ca.crt is missing: run \"leap cert ca\"")
	}
	inLab, err := a.inLab(ctx, i)
	if err != nil {
		return nil, err
	}
	var list []*deploy.Client
	for _, n := range nodes {
		if at.ip == "" {
			if access.Dial, err = inLab(n); err != nil {
				return nil, err
			}
		}
		port := i.Provider(n.Environment).Agent.Port
		if at.port != 0 {
			port = at.port
		}
		list = append(list, access.NewClient(net.JoinHostPort(or(at.ip, n.IPAddress.String()), strconv.Itoa(int(port))), i.AgentName(n)))
	}
	return list, nil
}

// deploying is how nodes are given their documents.
type deploying struct {
	at     reach
	dry    bool
	atOnce int
}

func (a *app) deployCommand() *cobra.Command {
	var d deploying
	cmd := &cobra.Command{
		Use: "deploy [FILTER]", Aliases: []string{"d"}, Short: "Make nodes what the provider says",
		Long: `Compile, and push to each node what it shall be. A node that is so already is left
alone. A node takes a document on trial: if its services do not get healthy, or you
can no longer reach it, it goes back to what it was and says why.

Several nodes change at once, those of the database one after the other once they
work. Interrupt it whenever you like: a node that has begun goes on by itself.`,
		RunE: func(cmd *cobra.Command, words []string) error {
			results, err := a.deploy(cmd.Context(), words, d)
			if err != nil {
				return err
			}
			if err := a.print(results, func() { a.tellResults(results) }); err != nil {
				return err
			}
			return failures(results)
		},
	}
	cmd.Flags().BoolVar(&d.dry, "dry-run", false, "ask the nodes, and change nothing")
	cmd.Flags().IntVar(&d.atOnce, "at-once", 4, "`number` of nodes that change at the same time")
	d.at.flags(cmd)
	return cmd
}

// deploy compiles, pushes and remembers what became of it.
func (a *app) deploy(ctx context.Context, words []string, d deploying) ([]deploy.Result, error) {
	i, _, out, err := a.compiled(d.dry)
	if err != nil {
		return nil, err
	}
	nodes, err := a.live(i, words)
	if err != nil {
		return nil, err
	}
	targets, err := a.targets(ctx, i, nodes, out, d.at)
	if err != nil {
		return nil, err
	}
	signer, err := compile.Signer(out.Secrets)
	if err != nil {
		return nil, err
	}
	results := deploy.Push(ctx, targets, deploy.Options{
		Signer: signer, Secrets: out.Secrets, AtOnce: d.atOnce, DryRun: d.dry,
		Told: func(name string, e node.Event) { fmt.Fprintf(a.errs, "%s: %s\n", name, e.Text) },
	})
	for _, r := range results {
		if d.dry || r.Outcome == deploy.Unchanged {
			continue
		}
		if err := a.remember(i, r); err != nil {
			return results, err
		}
	}
	return results, nil
}

func (a *app) targets(ctx context.Context, i *provider.Instance, nodes []*provider.Node, out *compile.Output, at reach) ([]deploy.Target, error) {
	now, err := a.clients(ctx, i, nodes, at)
	if err != nil {
		return nil, err
	}
	next, err := a.clients(ctx, i, nodes, reach{})
	if err != nil {
		return nil, err
	}
	var list []deploy.Target
	for k, n := range nodes {
		t := deploy.Target{Client: now[k], Document: out.Documents[n.Name], Alone: n.Has("bigcouch")}
		if at != (reach{}) {
			t.Next = next[k]
		}
		list = append(list, t)
	}
	return list, nil
}

func (a *app) tellResults(results []deploy.Result) {
	rows := [][]string{}
	for _, r := range results {
		number := "-"
		if r.Generation.Number > 0 {
			number = strconv.FormatUint(r.Generation.Number, 10)
		}
		rows = append(rows, []string{r.Node, r.Outcome, number, r.Error})
	}
	a.table(rows)
}

// failures is the error that results are, or nil.
func failures(results []deploy.Result) error {
	failed := 0
	for _, r := range results {
		if !r.OK() {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d nodes are not what they should be", failed, len(results))
	}
	return nil
}

// An Entry is one line of a node's history.
type entry struct {
	Time     time.Time `json:"time"`
	Operator string    `json:"operator"`
	deploy.Result
}

func historyFile(name string) string { return "history/" + name + ".jsonl" }

func (a *app) remember(i *provider.Instance, r deploy.Result) error {
	op, err := a.operator(i)
	if err != nil {
		return err
	}
	line, err := json.Marshal(entry{a.now().UTC().Truncate(time.Second), op.Name, r})
	if err != nil {
		return err
	}
	before, err := os.ReadFile(filepath.Join(i.Dir, filepath.FromSlash(historyFile(r.Node))))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return provider.Write(i.Dir, historyFile(r.Node), append(append(before, line...), '\n'), 0o644)
}

func (a *app) historyCommand() *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use: "history [FILTER]", Short: "Show what was deployed from this directory, by whom",
		RunE: func(_ *cobra.Command, words []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := a.nodes(i, words, true)
			if err != nil {
				return err
			}
			list, rows := []entry{}, [][]string{}
			for _, n := range nodes {
				text, err := os.ReadFile(filepath.Join(i.Dir, filepath.FromSlash(historyFile(n.Name))))
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				lines := strings.Split(strings.TrimSpace(string(text)), "\n")
				for _, line := range lines[max(0, len(lines)-count):] {
					if line == "" {
						continue
					}
					var e entry
					if err := json.Unmarshal([]byte(line), &e); err != nil {
						return fmt.Errorf("%s: %w", historyFile(n.Name), err)
					}
					list = append(list, e)
					rows = append(rows, []string{e.Time.Format(time.DateTime), e.Node, e.Outcome, strconv.FormatUint(e.Generation.Number, 10), e.Operator, e.Error})
				}
			}
			return a.print(list, func() { a.table(rows) })
		},
	}
	cmd.Flags().IntVar(&count, "last", 10, "`number` of entries of each node")
	return cmd
}
