package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"leap.example/updater/tufrepo"
)

// keyFlags say where a private key is. Secrets are never flags: they are in
// files, or typed.
type keyFlags struct {
	file       string
	agent      bool
	comment    string
	public     string
	passphrase string // File.
	identity   string // File.
}

func (k *keyFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&k.file, "key", "", "`file` of the encrypted key")
	f.BoolVar(&k.agent, "agent", false, "the key is behind the ssh-agent of SSH_AUTH_SOCK")
	f.StringVar(&k.comment, "comment", "", "`comment` of the key in the agent, if it has several")
	f.StringVar(&k.public, "public", "", "`file` of the public key; with --agent, to have its name")
	k.unlock(cmd)
	cmd.MarkFlagsMutuallyExclusive("key", "agent")
}

// unlock are the flags of what opens or closes a key file.
func (k *keyFlags) unlock(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.passphrase, "passphrase-file", "", "`file` whose first line is the passphrase (- for standard input); without it you are asked")
	cmd.Flags().StringVar(&k.identity, "identity", "", "`file` of an age identity, for jobs that nobody attends")
	cmd.MarkFlagsMutuallyExclusive("passphrase-file", "identity")
}

// signer opens the key that the flags name.
func (a *app) signer(ctx context.Context) (tufrepo.Signer, error) {
	switch k := a.keys; {
	case k.agent:
		if a.agent == "" {
			return nil, errors.New("SSH_AUTH_SOCK is not set: start an ssh-agent, and give it the key with \"ssh-add\"")
		}
		name := "agent"
		var want *tufrepo.PublicKey
		if k.public != "" {
			var err error
			if want, err = tufrepo.ReadPublicKey(name, k.public); err != nil {
				return nil, err
			}
			name = want.Name
		}
		s, err := tufrepo.OpenAgent(ctx, a.agent, k.comment, name)
		if err == nil && want != nil && s.Public().ID() != want.ID() {
			return nil, fmt.Errorf("the agent's key is not that of %s", k.public)
		}
		return s, err
	case k.file != "":
		ids, err := a.identities()
		if err != nil {
			return nil, err
		}
		return tufrepo.ReadKeyFile(k.file, ids...)
	}
	return nil, errors.New("whose signature? --key FILE, or --agent")
}

// identities open a key file.
func (a *app) identities() ([]age.Identity, error) {
	if a.keys.identity != "" {
		f, err := os.Open(a.keys.identity)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		ids, err := age.ParseIdentities(io.LimitReader(f, 64<<10))
		if err != nil {
			// The reason could quote the secret.
			return nil, fmt.Errorf("%s is no file of age identities", a.keys.identity)
		}
		return ids, nil
	}
	word, err := a.passphrase("Passphrase: ")
	if err != nil {
		return nil, err
	}
	id, err := age.NewScryptIdentity(word)
	return []age.Identity{id}, err
}

// passphrase reads one from a file, or from a person.
func (a *app) passphrase(prompt string) (string, error) {
	if a.keys.passphrase == "" {
		if !term.IsTerminal(int(a.in.Fd())) {
			return "", errors.New("nobody is there to type the passphrase: name its file with --passphrase-file")
		}
		fmt.Fprint(a.errs, prompt)
		word, err := term.ReadPassword(int(a.in.Fd()))
		fmt.Fprintln(a.errs)
		return string(word), err
	}
	from := io.Reader(a.in)
	if a.keys.passphrase != "-" {
		f, err := os.Open(a.keys.passphrase)
		if err != nil {
			return "", err
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, 4096))
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if word := strings.TrimRight(string(line), "\r"); err != nil || word != "" {
		return word, err
	}
	return "", errors.New("the passphrase is empty")
}

func (a *app) keyCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "key", Short: "Keys of signers",
		Long: `Keys of signers. A private key never leaves its owner; the public one, NAME.pub,
goes to whoever keeps the repository. Read its ID to each other by a way that you
trust, by voice for example: the name in the file is only a claim.`,
	}, a.keyNew(), a.keyAgent(), a.keyIdentity(), a.keyShow())
}

func (a *app) keyNew() *cobra.Command {
	var recipient string
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Make a key: NAME.key.age and NAME.pub", Args: args(cobra.ExactArgs(1)),
		Long: `Make a key in this directory: NAME.key.age, encrypted to a passphrase, and NAME.pub.
A key for a job that nobody attends is encrypted to an age recipient instead: see
"leap-sign key identity".`,
		Example: "  leap-sign key new alice\n  leap-sign key new online --recipient age1…",
		RunE: func(_ *cobra.Command, args []string) error {
			to, err := a.recipient(recipient)
			if err != nil {
				return err
			}
			k, err := tufrepo.NewKeyFile(args[0], args[0]+".key.age", to)
			if err != nil {
				return err
			}
			if err := k.Public().Write(args[0] + ".pub"); err != nil {
				return err
			}
			if !a.json {
				a.sayf("%[1]s.key.age is your key: keep a copy of it offline, and the passphrase elsewhere.\n%[1]s.pub is for whoever keeps the repository.", args[0])
			}
			return a.showKey(k.Public())
		},
	}
	cmd.Flags().StringVar(&recipient, "recipient", "", "age `recipient`, instead of a passphrase")
	cmd.Flags().StringVar(&a.keys.passphrase, "passphrase-file", "", "`file` whose first line is the passphrase (- for standard input); without it you are asked")
	return cmd
}

// recipient is to whom a new key is encrypted.
func (a *app) recipient(text string) (age.Recipient, error) {
	if text != "" {
		return age.ParseX25519Recipient(text)
	}
	word, err := a.passphrase("New passphrase: ")
	if err != nil {
		return nil, err
	}
	if len(word) < 12 {
		return nil, errors.New("the passphrase has less than 12 characters: take six words of a list, drawn by chance")
	}
	if a.keys.passphrase == "" {
		again, err := a.passphrase("Again: ")
		if err != nil {
			return nil, err
		}
		if again != word {
			return nil, errors.New("the two passphrases differ")
		}
	}
	return age.NewScryptRecipient(word)
}

func (a *app) keyAgent() *cobra.Command {
	cmd := &cobra.Command{
		Use: "agent NAME", Short: "Write NAME.pub of a key behind the ssh-agent", Args: args(cobra.ExactArgs(1)),
		Long: `Write NAME.pub of a key that the ssh-agent holds: ssh-ed25519 or ecdsa-sha2-nistp256,
also on a token that the agent reaches by PKCS #11. Keys of the types sk-… sign
something else than what they are given, and do not fit.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.agent == "" {
				return errors.New("SSH_AUTH_SOCK is not set: start an ssh-agent, and give it the key with \"ssh-add\"")
			}
			k, err := tufrepo.OpenAgent(cmd.Context(), a.agent, a.keys.comment, args[0])
			if err != nil {
				return err
			}
			if err := k.Public().Write(args[0] + ".pub"); err != nil {
				return err
			}
			return a.showKey(k.Public())
		},
	}
	cmd.Flags().StringVar(&a.keys.comment, "comment", "", "`comment` of the key in the agent, if it has several")
	return cmd
}

func (a *app) keyIdentity() *cobra.Command {
	return &cobra.Command{
		Use: "identity FILE", Short: "Make an age identity, which opens keys for a job", Args: args(cobra.ExactArgs(1)),
		Long: `Make an age identity in a file that only you can read, and print its recipient. Keys
that are made with --recipient are opened with --identity FILE, and nobody is asked:
for the online key, on the machine whose job signs timestamps. Whoever has both files
has the key.`,
		Example: "  leap-sign key new online --recipient $(leap-sign key identity identity)",
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := age.GenerateX25519Identity()
			if err != nil {
				return err
			}
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(f, id)
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return err
			}
			recipient := id.Recipient().String()
			return a.print(map[string]string{"recipient": recipient}, func() { a.sayf("%s", recipient) })
		},
	}
}

func (a *app) keyShow() *cobra.Command {
	name := ""
	cmd := &cobra.Command{
		Use: "show FILE", Short: "Show a public key", Args: args(cobra.ExactArgs(1)),
		Long: `Show name and ID of a public key: a NAME.pub, or a PEM file "PUBLIC KEY" of another
program, which gets the name of --name.`,
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := tufrepo.ReadPublicKey(name, args[0])
			if err != nil {
				return err
			}
			return a.showKey(k)
		},
	}
	cmd.Flags().StringVar(&name, "name", "other", "`name` for a key in PEM")
	return cmd
}

func (a *app) showKey(k *tufrepo.PublicKey) error {
	return a.print(map[string]string{"name": k.Name, "id": k.ID(), "type": k.Key.Scheme}, func() {
		a.sayf("%s, %s\n  ID %s", k.Name, k.Key.Scheme, k.ID())
	})
}
