package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"leap.example/services/bigcouch/backup"
)

// s3Flags say how object storage is reached.
func s3Flags(cmd *cobra.Command, l *backup.Location) {
	cmd.Flags().StringVar(&l.S3.Endpoint, "s3-endpoint", "", "`URL` of the object storage (default https://s3.amazonaws.com)")
	cmd.Flags().StringVar(&l.S3.Region, "s3-region", "", "its `region`")
	cmd.Flags().StringVar(&l.S3.Credentials, "s3-credentials", "", "`file` with aws_access_key_id and aws_secret_access_key under [default]")
	cmd.Flags().Uint64Var(&l.S3.PartBytes, "s3-part", 0, "`bytes` of the pieces that are sent, 5 MiB or more; a backup has at most 10,000 (default 32 MiB)")
}

// A taken backup, for programs.
type taken struct {
	Name    string        `json:"name"`
	To      string        `json:"to"`
	Bytes   int64         `json:"bytes"`
	Header  backup.Header `json:"header"`
	Removed []string      `json:"removed"` // Older ones.
}

func couchBackupCommand() *cobra.Command {
	var node nodeFlags
	var where backup.Location
	var to, recipientsFile string
	var recipients []string
	var keep int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backup --to DIR|s3://BUCKET/PREFIX --recipient KEY",
		Short: "Take a backup of a running node",
		Long: `Take a backup of a running node: all shards that it holds, as they are at one
moment. The node encrypts it to the recipients before it leaves the process;
only who has the identity that belongs to one of them can read it. Make one with
"leapd couch backup-key", and keep the identity where no node is.

In a cluster whose nodes do not hold all shards, take a backup of every node.
With --keep older backups of the node are removed when the new one is there.
` + nodeHelp,
		Example: `  leapd couch backup --to /backup --recipients-file operator.pub --keep 14
  leapd couch backup --to s3://backups/db --s3-endpoint https://s3.example.org \
      --s3-credentials /run/leap/s3 --recipients-file operator.pub`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if recipientsFile != "" {
				more, err := readRecipients(recipientsFile)
				if err != nil {
					return err
				}
				recipients = append(recipients, more...)
			}
			if _, err := backup.ParseRecipients(recipients); err != nil {
				return mistake(cmd, fmt.Errorf("%w: name one with --recipient or --recipients-file", err))
			}
			place, err := where.Place(to)
			if err != nil {
				return mistake(cmd, fmt.Errorf("--to: %w", err))
			}
			c, err := node.client()
			if err != nil {
				return err
			}
			defer c.Close()
			in, err := c.Backup(cmd.Context(), recipients)
			if err != nil {
				return fmt.Errorf("asking %s for a backup: %w", c.URL(), err)
			}
			t, err := keepBackup(cmd, in, place, keep)
			if err = errors.Join(err, in.Close()); err != nil {
				return err
			}
			t.To = to
			return t.print(cmd, asJSON)
		},
	}
	node.add(cmd)
	s3Flags(cmd, &where)
	cmd.Flags().StringVar(&to, "to", "", "`place` for the backup: a directory, or s3://BUCKET/PREFIX")
	cmd.Flags().StringArrayVar(&recipients, "recipient", nil, "public `key` of age that the backup is encrypted to; may be repeated")
	cmd.Flags().StringVar(&recipientsFile, "recipients-file", "", "`file` with such keys, one a line")
	cmd.Flags().IntVar(&keep, "keep", 0, "remove all but the latest `N` backups of this node; 0 keeps all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("to") // It is there.
	return cmd
}

// keepBackup reads a backup into its place, and removes older ones.
func keepBackup(cmd *cobra.Command, in io.Reader, place backup.Place, keep int) (*taken, error) {
	m := newMeter(cmd, "backup", true)
	defer m.end()
	counted := &metered{Reader: in, m: m}
	var head bytes.Buffer // What was read to find the header.
	h, err := backup.ReadHeader(bufio.NewReaderSize(io.TeeReader(counted, &head), 4<<10))
	if err != nil {
		return nil, err
	}
	t := &taken{Name: backup.Name(h), Header: h, Removed: []string{}}
	if err := place.Put(cmd.Context(), t.Name, io.MultiReader(&head, counted)); err != nil {
		return nil, fmt.Errorf("keeping %s: %w", t.Name, err)
	}
	t.Bytes = counted.n
	gone, err := backup.Prune(cmd.Context(), place, h.Node, keep)
	t.Removed = append(t.Removed, gone...)
	if err != nil {
		return nil, fmt.Errorf("the backup %s is there; removing older ones: %w", t.Name, err)
	}
	return t, nil
}

func (t *taken) print(cmd *cobra.Command, asJSON bool) error {
	if len(t.Header.Stale) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: no majority has confirmed shards %v: what was written last may not be in the backup\n", t.Header.Stale)
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), t)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %d bytes\n", t.Name, t.Bytes)
	for _, name := range t.Removed {
		fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", name)
	}
	return nil
}

// readRecipients reads a file with public keys, one a line.
func readRecipients(file string) (list []string, err error) {
	data, err := os.ReadFile(file)
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			list = append(list, line)
		}
	}
	return list, err
}

func couchBackupKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup-key FILE",
		Short: "Make the key that opens backups",
		Long: `Make an identity of age that opens backups, in FILE, and beside it FILE.pub with
the recipient that backups are encrypted to (X25519 and ML-KEM together). FILE
belongs to the operator, on no node; FILE.pub may be anywhere. Without FILE all
backups are lost.`,
		Example: `  leapd couch backup-key operator.key`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := age.GenerateHybridIdentity()
			if err != nil {
				return err
			}
			if err := create(args[0], id.String()+"\n", 0o600); err != nil {
				return err
			}
			if err := create(args[0]+".pub", id.Recipient().String()+"\n", 0o644); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "identity in %s, recipient in %s.pub\n", args[0], args[0])
			return nil
		},
	}
}

// create writes a file that is not there yet, durably.
func create(file, text string, mode os.FileMode) error {
	f, err := os.OpenFile(filepath.Clean(file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// identities reads a file with identities of age.
func identities(file string) ([]age.Identity, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	ids, err := age.ParseIdentities(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("identity in %s: %w", file, err)
	}
	return ids, nil
}

// sources returns the backups that texts name.
func sources(ctx context.Context, where backup.Location, from []string) (list []backupSource, err error) {
	for _, text := range from {
		place, names, err := where.Find(ctx, text)
		if err != nil {
			return nil, fmt.Errorf("--from %s: %w", text, err)
		}
		for _, name := range names {
			list = append(list, backupSource{Name: name, Open: func(ctx context.Context) (io.ReadCloser, error) { return place.Open(ctx, name) }})
		}
	}
	return list, nil
}
