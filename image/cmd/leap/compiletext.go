package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"leap.example/image/compile"
	"leap.example/image/provider"
)

// compileText is a command that prints one text of one environment. As JSON it is
// wrapped, if it is none itself.
func (a *app) compileText(use, short string, text func(i *provider.Instance, env string) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use: use + " [ENVIRONMENT]", Short: short, Args: args(cobra.MaximumNArgs(1)),
		Long: short + `. Each environment has its own: if there are
several, name one, or pin it. Machines of "leap local" are left aside unless theirs
is named.`,
		RunE: func(_ *cobra.Command, words []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			env, err := a.oneEnvironment(i, words)
			if err != nil {
				return err
			}
			s, err := text(i, env)
			if err != nil {
				return err
			}
			if a.json && !json.Valid([]byte(s)) {
				return a.print(map[string]string{"environment": env, "text": s}, nil)
			}
			fmt.Fprint(a.out, s)
			return nil
		},
	}
}

// oneEnvironment is the one that is named, or else the only one with nodes.
func (a *app) oneEnvironment(i *provider.Instance, words []string) (string, error) {
	all := slices.DeleteFunc(i.Environments(), func(e string) bool { return len(i.In(e, "")) == 0 })
	named, is := a.env, a.env != ""
	if len(words) > 0 {
		named, is = words[0], true
	}
	if is {
		if !slices.Contains(all, named) {
			return "", fmt.Errorf("no node is in the environment %q (leap env ls)", named)
		}
		return named, nil
	}
	if len(all) > 1 {
		all = slices.DeleteFunc(all, func(e string) bool { return e == localEnv })
	}
	switch len(all) {
	case 0:
		return "", errors.New("there are no nodes yet: leap node add")
	case 1:
		return all[0], nil
	}
	return "", fmt.Errorf("there are several environments, each with its own: name one of %q", all)
}

func hostsText(i *provider.Instance, env string) (string, error) {
	return compile.HostsText(i, env), nil
}

func bootstrapText(i *provider.Instance, env string) (string, error) {
	p, err := compile.Bootstrap(i, env)
	if err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(p, "", "  ")
	return string(text) + "\n", err
}

// zoneText is a zone with the public halves of the keys that sign mail.
func (a *app) zoneText(_ *provider.Instance, env string) (string, error) {
	i, v, err := a.unlock()
	if err != nil {
		return "", err
	}
	secrets, err := v.All()
	if err != nil {
		return "", err
	}
	z, err := compile.ZoneOf(i, env, secrets)
	return compile.ZoneText(z), err
}
