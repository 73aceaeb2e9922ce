package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/updater/tufrepo"
)

func (a *app) signCommand() *cobra.Command {
	var anchor string
	var roles, detached []string
	cmd := &cobra.Command{
		Use: "sign EVENT", Short: "See what an event changes, and sign it", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.eventNames,
		Long: `See what an event changes, and sign it. EVENT is the directory of an event, or its
name in the repository. No network is needed. The digests shown are those of the very
bytes that are signed; compare them with those that the other signers see.

--root names root metadata that you trust from before, like new/root.json of the first
event that you signed; the event must stand on it, or what it is compared with could
be made up. The first event stands on nothing. An event that is named in a repository
of your own is compared with that.

A key that only another program can use signs the file payload/ROLE of the event:
  openssl pkeyutl -sign -inkey k.pem -rawin -in 1.2.0/payload/release -out s
  leap-sign sign 1.2.0 --public k.pub --signature release=s`,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.find(args[0])
			if err != nil {
				return err
			}
			if err := a.anchored(e, args[0], anchor); err != nil {
				return err
			}
			if len(detached) > 0 {
				return a.takeDetached(cmd.Context(), e, detached)
			}
			s, err := a.signer(cmd.Context())
			if err != nil {
				return err
			}
			return a.sign(cmd.Context(), e, s, roles)
		},
	}
	a.keys.add(cmd)
	f := cmd.Flags()
	f.StringVar(&anchor, "root", "", "`file` of root metadata that you trust")
	f.StringArrayVar(&roles, "role", nil, "sign only this `role`; may be repeated")
	f.StringArrayVar(&detached, "signature", nil, "`ROLE=FILE`: a signature of the key --public that another program made")
	return cmd
}

// anchored compares the event with a root that the signer trusts.
func (a *app) anchored(e *tufrepo.Event, word, file string) error {
	if e.First() && file == "" {
		return nil
	}
	if file == "" {
		r, err := a.open()
		if err != nil || e.Dir != r.EventDir(word) {
			return errors.New("which root do you trust? --root FILE: without it, what the event is compared with could be made up")
		}
		file = filepath.Join(r.Public(), "metadata", "1.root.json")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return e.Anchor(text)
}

func (a *app) sign(ctx context.Context, e *tufrepo.Event, s tufrepo.Signer, roles []string) error {
	if len(roles) == 0 {
		roles = e.SignsFor(s.Public().ID())
	}
	if len(roles) > 0 && !a.json {
		// Of the roles that are not his the signer sees nothing: he vouches for these.
		known := slices.DeleteFunc(slices.Clone(e.Roles), func(role string) bool { return !slices.Contains(roles, role) })
		if err := a.show(e, known); err != nil {
			return err
		}
	}
	at, end := a.progress(ctx)
	absent, err := e.CheckContent(ctx, at)
	end()
	if err != nil {
		return err
	}
	if len(absent) > 0 {
		a.warnf("these files did not come with the event, you sign for their hashes: %s", strings.Join(absent, ", "))
	}
	if a.json && !a.yes {
		return fmt.Errorf("%w: with --json nobody is shown anything: see \"leap-sign event show\", and say --yes", errNothing)
	}
	if len(roles) > 0 {
		if err := a.confirm("Sign this with " + s.Public().Name + "?"); err != nil {
			return err
		}
	}
	files, err := e.Sign(ctx, s, roles...)
	if err != nil {
		return err
	}
	return a.signedNow(e, files)
}

// signedNow tells what a signer has made.
func (a *app) signedNow(e *tufrepo.Event, files []string) error {
	return a.print(map[string]any{"event": e.Name, "files": files}, func() {
		for _, f := range files {
			a.sayf("signed: %s", f)
		}
		a.sayf("next: send these files back to whoever keeps the repository; they hold no secret")
	})
}

// takeDetached keeps signatures of other programs.
func (a *app) takeDetached(ctx context.Context, e *tufrepo.Event, list []string) error {
	if a.keys.public == "" {
		return fmt.Errorf("--signature needs --public, the key that made it")
	}
	key, err := readPublic(a.keys.public)
	if err != nil {
		return err
	}
	pairs, err := assignments("signature", list)
	if err != nil {
		return err
	}
	var files []string
	for _, p := range pairs {
		sig, err := os.ReadFile(p[1])
		if err != nil {
			return err
		}
		if text, err := hex.DecodeString(strings.TrimSpace(string(sig))); err == nil && len(text) > 0 {
			sig = text
		}
		made, err := e.Sign(ctx, tufrepo.Detached{Key: key, Signature: sig}, p[0])
		if err != nil {
			return err
		}
		files = append(files, made...)
	}
	return a.signedNow(e, files)
}

// confirm asks before something that cannot be taken back.
func (a *app) confirm(what string) error {
	if a.yes {
		return nil
	}
	fmt.Fprintf(a.errs, "%s Write yes to go on: ", what)
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(a.errs)
		return fmt.Errorf("%w: nobody answers (--yes answers for you)", errNothing)
	}
	if strings.TrimSpace(line) != "yes" {
		return errNothing
	}
	return nil
}
