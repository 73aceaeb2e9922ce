package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"leap.example/image/provider"
)

// pinFile, below the instance, names the environment that one operator works in.
const pinFile = ".leap/env"

// open reads the instance, and finds out the environment.
func (a *app) open() (*provider.Instance, error) {
	dir, err := provider.Find(a.dir)
	if err != nil {
		return nil, err
	}
	i, err := provider.Open(dir)
	if err != nil {
		return nil, err
	}
	if a.env == "" {
		pinned, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(pinFile)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		a.env = strings.TrimSpace(string(pinned))
	}
	if a.env != "" && !slices.Contains(i.Environments(), a.env) && len(i.Nodes) > 0 {
		return nil, fmt.Errorf("no node is in the environment %q; there are %s (leap env ls)", a.env, environments(i))
	}
	return i, nil
}

// environments names those of the nodes, for people.
func environments(i *provider.Instance) string {
	list := i.Environments()
	for k, e := range list {
		list[k] = or(e, "(none)")
	}
	return strings.Join(list, ", ")
}

// keyFile is where the operator's own keys for a provider are.
func (a *app) keyFile(domain string) string {
	if a.key != "" {
		return a.key
	}
	return filepath.Join(a.keys, domain+".json")
}

// operator reads the operator's own keys.
func (a *app) operator(i *provider.Instance) (*provider.Operator, error) {
	return provider.ReadOperator(a.keyFile(i.Domain("")))
}

// unlock reads the instance and opens its secrets.
func (a *app) unlock() (*provider.Instance, *provider.Vault, error) {
	i, err := a.open()
	if err != nil {
		return nil, nil, err
	}
	op, err := a.operator(i)
	if err != nil {
		return nil, nil, err
	}
	v, err := i.Unlock(op)
	return i, v, err
}

// nodes returns those that words choose, in the environment.
func (a *app) nodes(i *provider.Instance, words []string, disabled bool) ([]*provider.Node, error) {
	if len(i.Nodes) == 0 {
		return nil, errors.New("there are no nodes yet: leap node add")
	}
	f, err := provider.ParseFilter(words)
	if err != nil {
		return nil, err
	}
	list, err := i.Select(f, disabled)
	if a.env != "" {
		list = slices.DeleteFunc(list, func(n *provider.Node) bool { return n.Environment != a.env })
	}
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("no node is chosen by %q%s", words, a.inEnv())
	}
	return list, err
}

func (a *app) inEnv() string {
	if a.env == "" {
		return ""
	}
	return " in the environment " + a.env
}

// ask asks a question and returns the answer, or preset if it is empty.
func (a *app) ask(in *bufio.Reader, question, preset string) (string, error) {
	if preset != "" {
		question += " [" + preset + "]"
	}
	fmt.Fprint(a.errs, question+": ")
	line, err := in.ReadString('\n')
	if err != nil && line == "" {
		return "", fmt.Errorf("no answer to %q: give it as an option", question)
	}
	if line = strings.TrimSpace(line); line == "" {
		line = preset
	}
	return line, nil
}

// confirm asks before something is lost.
func (a *app) confirm(what string) error {
	if a.yes {
		return nil
	}
	answer, err := a.ask(bufio.NewReader(a.in), what+" Write yes to go on", "")
	if err != nil {
		return fmt.Errorf("%w (--yes)", err)
	}
	if answer != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}
