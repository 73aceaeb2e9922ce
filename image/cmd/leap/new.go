package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/image/provider"
)

func (a *app) newCommand() *cobra.Command {
	var answers provider.Answers
	cmd := &cobra.Command{
		Use: "new DIRECTORY", Short: "Make a provider", Args: args(cobra.ExactArgs(1)),
		Long: `Make a provider: a directory with its certificate authorities, the key that
signs what nodes obey, and you as its first operator. It asks five questions;
options answer them beforehand, and --yes takes what is proposed.

Your own keys are not in the directory but in ~/.config/leap/DOMAIN.json. Keep a
copy of that file away from this machine: without it, or that of another operator
who may deploy, nobody can open the provider's secrets. The directory may be kept
in git: its secrets are encrypted.`,
		Example: "  leap new demo --domain demo.example --name Demo --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := bufio.NewReader(a.in)
			base := strings.ToLower(filepath.Base(args[0]))
			for _, q := range []struct {
				text, preset string
				into         *string
			}{
				{"Domain of the provider, for mail addresses", base + ".example", &answers.Domain},
				{"Its name", base, &answers.Name},
				{"Mail address of who runs it", "", &answers.Contact},
				{"Who may sign up: open, invite or closed", "invite", &answers.Enrollment},
				{"Your name as an operator", or(strings.ToLower(os.Getenv("USER")), "admin"), &answers.Operator},
			} {
				preset := q.preset
				if q.into == &answers.Contact {
					preset = "postmaster@" + answers.Domain
				}
				if *q.into != "" {
					continue
				}
				if a.yes {
					*q.into = preset
					continue
				}
				var err error
				if *q.into, err = a.ask(in, q.text, preset); err != nil {
					return err
				}
			}
			key := a.keyFile(answers.Domain)
			if err := provider.New(args[0], answers, key, a.now()); err != nil {
				return err
			}
			a.sayf("%s is made for %s; your keys are in %s: keep a copy of them elsewhere", args[0], answers.Domain, key)
			a.sayf("next: cd %s && leap node add NAME services:couchdb,soledad,webapp,mx,dns ip_address:ADDRESS", args[0])
			return a.print(map[string]string{"dir": args[0], "domain": answers.Domain, "key": key}, func() {})
		},
	}
	f := cmd.Flags()
	f.StringVar(&answers.Domain, "domain", "", "mail `domain`")
	f.StringVar(&answers.Name, "name", "", "`name` of the provider")
	f.StringVar(&answers.Contact, "contact", "", "mail `address` of who runs it")
	f.StringVar(&answers.Enrollment, "enrollment", "", "who may sign up: `open`, invite or closed")
	f.StringVar(&answers.Operator, "operator", "", "your `name` as an operator")
	return cmd
}

// filesTopic is help about the directory.
func filesTopic() *cobra.Command {
	return &cobra.Command{
		Use: "provider", Short: "What is in the directory of a provider",
		Long: `A provider is a directory:

  provider.json            who the provider is: domain, name, who may sign up
  common.json              what all nodes have
  services/NAME.json       what nodes with a service have
  tags/NAME.json           what nodes with a tag have
  nodes/NAME.json          one node: ip_address, services, tags, mesh, network
  users/NAME.json          one operator
  files/                   certificates and texts: nothing secret
  secrets/NAME.age         secrets, encrypted to the operators who may deploy

NAME.ENV.json beside provider.json, common.json, a service or a tag holds what is
different in an environment. Comments are allowed. A node is made of common, its
services in the order listed, its tags, and its own file; later ones win, objects
merge, arrays are replaced:

  "+contacts": ["x"]   add to a list        "-contacts": ["x"]   remove from it
  "!time": {…}         replace all of it    "time": null         take it away

By "services", "tags" and "environment" the files are chosen that count for a node:
they are in its own file, the last two also in its tags, and have no prefixes.

Services, with the parts that come with them unless a node lists them by name:

  couchdb   the database; several nodes share it
  soledad   users' mail boxes and keys, on any node (tapicero)
  webapp    accounts, web pages, keys (ca, nickserver)
  mx        mail from outside and to outside (relay)
  dns       the provider's zone, and names for the other services

Each of bigcouch, ca, dns, mx, nickserver, relay, soledad, tapicero and webapp has
a section with its settings, like "mx": {"max_size": 10000000}. Members that end
in _file name a file below files/. "leap inspect NAME" shows what a node has.`,
	}
}
