package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/admin"
	"leap.example/services/daemon"
)

// errUnwell means that a command has done what it should, and has found
// something wrong: exit status 1.
var errUnwell = errors.New("something is wrong")

// unwell is a finding.
func unwell(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUnwell, fmt.Sprintf(format, args...))
}

// nodeFlags say which running nodes are meant, and who asks.
type nodeFlags struct {
	config   string
	urls     []string
	user     string
	password string
}

const nodeHelp = `
The node is the one of --config, asked as the first administrator account that
is named there, or that of --url, asked with --user and --password-file.`

func (f *nodeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", defaultConfig, "configuration `file` of the database")
	cmd.Flags().StringArrayVar(&f.urls, "url", nil, "`URL` of a node, instead of that of the configuration")
	cmd.Flags().StringVar(&f.user, "user", "", "administrator `account` (default that of the configuration, or admin)")
	cmd.Flags().StringVar(&f.password, "password-file", "", "`file` with its password")
}

// clients returns one for each node.
func (f *nodeFlags) clients() (all []*admin.Client, err error) {
	urls, user, password := f.urls, f.user, f.password
	if len(urls) == 0 {
		cfg, err := readDatabase(f.config)
		if err != nil {
			return nil, fmt.Errorf("%w\nname the configuration of the node with --config, or the node with --url and --password-file", err)
		}
		host, port, err := net.SplitHostPort(cfg.Listen)
		if err != nil {
			return nil, fmt.Errorf("listen of %s: %w", f.config, err)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		urls = []string{"http://" + net.JoinHostPort(host, port)}
		for _, a := range cfg.Accounts {
			if password == "" && a.Admin && (user == "" || user == a.Name) {
				user, password = a.Name, a.PasswordFile
			}
		}
	}
	if user == "" {
		user = "admin"
	}
	if password == "" {
		return nil, errors.New("no password is known: name the file that holds it with --password-file")
	}
	for _, url := range urls {
		c, err := admin.New(url, user, password)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", url, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// client returns the client of the only node.
func (f *nodeFlags) client() (*admin.Client, error) {
	all, err := f.clients()
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, errors.New("name one node")
	}
	return all[0], nil
}

const defaultConfig = "/run/leap/bigcouch/config.json"

// readDatabase returns the section of the database in a configuration.
func readDatabase(file string) (cfg bigcouch.Config, err error) {
	c, err := daemon.ReadConfig(file)
	if err != nil {
		return cfg, err
	}
	return cfg, c.Section("bigcouch", &cfg)
}

// printJSON prints what programs read.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// A meter shows how much has gone by, on a terminal.
type meter struct {
	bars *mpb.Progress
	bar  *mpb.Bar
}

// newMeter returns one that counts up, and shows nothing where errors do not go
// to a terminal. The caller calls end.
func newMeter(cmd *cobra.Command, what string, bytes bool) *meter {
	f, ok := cmd.ErrOrStderr().(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &meter{}
	}
	m := &meter{bars: mpb.NewWithContext(cmd.Context(), mpb.WithOutput(f))}
	count := decor.CurrentNoUnit("%d rows")
	if bytes {
		count = decor.Current(decor.SizeB1000(0), "% .1f")
	}
	m.bar = m.bars.New(0, mpb.SpinnerStyle(), mpb.PrependDecorators(decor.Name(what+" ")), mpb.AppendDecorators(count, decor.Elapsed(decor.ET_STYLE_MMSS, decor.WC{W: 7})))
	return m
}

// at says how far it is.
func (m *meter) at(n int64) {
	if m.bar != nil {
		m.bar.SetCurrent(n)
	}
}

func (m *meter) end() {
	if m.bar != nil {
		m.bar.SetTotal(-1, true)
		m.bars.Wait()
	}
}

// metered counts what is read.
type metered struct {
	io.Reader
	m *meter
	n int64
}

func (r *metered) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += int64(n)
	r.m.at(r.n)
	return n, err
}
