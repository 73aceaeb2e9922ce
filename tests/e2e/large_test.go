package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/tests/e2e/process"
)

// TestLargeMail sends mails that the MX does not hold in memory, and kills the
// provider after each: what was answered 250 is there.
func TestLargeMail(t *testing.T) {
	p := leapd.New(t)
	if _, err := os.Stat(filepath.Join(p.Dir, "mx", "spool")); err != nil {
		t.Skipf("the MX cannot take mail above 1 MiB: %v", err)
	}
	db := openCouch(t, p.At.Couch, "admin", p.At.CouchPasswordFile, quiet)
	defer db.Close()
	raw := process.OpenDatabase(t, p.At.Couch, p.At.CouchPasswordFile)
	user := newMailbox(t, db, "large@"+p.At.Domain, signerFile(p))
	var letters post
	s := &sender{post: &letters, from: "a@outside.example", to: []string{user.address}}
	for _, mib := range []int{3, 24} {
		s.pending = letters.write(s.from, user.address, false)
		s.pending.text += strings.Repeat(strings.Repeat("x", 76)+"\r\n", mib<<20/78)
		if err := s.send(t.Context(), p.At.MX); err != nil {
			t.Errorf("a mail of %d MiB: %v", mib, err)
			continue
		}
		p.Kill()
		p.Start(t)
	}
	letters.audit(t, "afterwards", user.copies(t, raw, db.UserDBs().Open(user.id)), true)
}
