package play

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leap.example/client/control"
)

// scanProvider plants a word in clear, in a support ticket, and then looks for
// it and for the secrets. What does not find the ticket would find nothing.
func (s *Story) scanProvider() error {
	resp, err := s.At.HTTP.PostForm(s.At.Web+"/tickets/new", url.Values{"subject": {"help"}, "body": {"please: " + s.words.ticket}})
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("posting a ticket: %s", resp.Status)
	}
	found, err := s.scan(append(s.words.secrets(), s.words.ticket))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(found[s.words.ticket], func(where string) bool { return strings.HasPrefix(where, "tickets/") }) {
		return fmt.Errorf("the scan did not find the ticket in the database: it would not find secrets either (found %v)", found)
	}
	delete(found, s.words.ticket)
	if len(found) > 0 {
		return fmt.Errorf("the provider holds %v", found)
	}
	return s.scanClients()
}

// scanClients looks for the secrets in the homes of the people: they are
// encrypted there too. The mail programs' own files and this story's are left out.
func (s *Story) scanClients() error {
	f := NewFinder(s.words.secrets())
	for _, p := range []*person{s.alice, s.bob, s.phone} {
		entries, err := os.ReadDir(p.home)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Type().IsRegular() && e.Name() != "mbsyncrc" {
				if err := f.File(filepath.Join(p.home, e.Name())); err != nil {
					return err
				}
			}
		}
		if err := f.File(p.daemon.Log); err != nil {
			return err
		}
	}
	if len(f.Found) > 0 {
		return fmt.Errorf("a client's disk holds %v", f.Found)
	}
	return nil
}

func (s *Story) bobLeaves() error {
	before, err := s.userDatabases()
	if err != nil {
		return err
	}
	if _, err := s.bob.leapc(s.words.bobPassword+"\n", "account", "delete", "--yes"); err != nil {
		return err
	}
	err = s.Until("bob's database is gone", 30*time.Second, func() error {
		if after, err := s.userDatabases(); err != nil || len(after) != len(before)-1 {
			return errors.Join(err, fmt.Errorf("%d of %d user databases are left", len(after), len(before)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	resp, err := s.At.HTTP.Get(s.At.Nickserver + "/?address=" + url.QueryEscape(s.bob.mail.Address))
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		return fmt.Errorf("bob's key is still published: %s", resp.Status)
	}
	// The name stays blocked, so that nobody else gets bob's mail; what made it his is gone.
	var left map[string]any
	if err := s.At.Database.get("/identities/bob:"+s.At.Domain, &left); err != nil {
		return err
	}
	for _, member := range []string{"user_id", "keys", "fingerprint", "cert_fingerprints"} {
		if left[member] != nil {
			return fmt.Errorf("bob's identity still has %s", member)
		}
	}
	return s.bobIsGone()
}

// bobIsGone checks that nothing of bob is left on his device.
func (s *Story) bobIsGone() error {
	out, err := s.bob.leapc("", "status")
	var st control.Status
	if json.Unmarshal(out, &st) != nil {
		return fmt.Errorf("bob's status: %q, %w", out, err)
	}
	if st.State != control.StateNoAccount {
		return fmt.Errorf("bob's client says %q", st.State)
	}
	return nil
}

// userDatabases lists the databases of users.
func (s *Story) userDatabases() ([]string, error) {
	var names []string
	err := s.At.Database.get("/_all_dbs", &names)
	return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, "user-") }), err
}
