package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/image/provider"
	"leap.example/image/schema"
)

func (a *app) schemaCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "schema [NAME]", Short: "Print the JSON Schema of a kind of file, for an editor", Args: args(cobra.MaximumNArgs(1)),
		ValidArgs: schema.Names(),
		Long: `Print the JSON Schema of a kind of file, or the names of the kinds, or write all of
them into a directory. An editor that reads them completes members and shows what
they are for. They say less than "leap compile" does, which checks everything and
names file, line and column.

  provider  provider.json and its variants
  node      nodes/, tags/, services/ and common.json
  user      users/
  document  compiled/`,
		Example: `  leap schema --write .schema
  # .vscode/settings.json, where the files are JSON with comments:
  # {"files.associations": {"*.json": "jsonc"}, "json.schemas": [
  #   {"fileMatch": ["/nodes/*.json", "/tags/*.json", "/services/*.json", "/common*.json"], "url": "./.schema/node.json"},
  #   {"fileMatch": ["/provider*.json"], "url": "./.schema/provider.json"}]}`,
		RunE: func(_ *cobra.Command, names []string) error {
			if len(names) == 1 {
				text, err := schema.Text(names[0])
				if err == nil {
					_, err = a.out.Write(text)
				}
				return err
			}
			if dir == "" {
				return a.print(schema.Names(), func() { a.sayf("%s", strings.Join(schema.Names(), "\n")) })
			}
			for _, name := range schema.Names() {
				text, err := schema.Text(name)
				if err != nil {
					return err
				}
				if err := provider.Write(dir, name+".json", text, 0o644); err != nil {
					return err
				}
				a.sayf("wrote %s", filepath.Join(dir, name+".json"))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "write", "", "write all of them into this `directory`")
	return cmd
}
