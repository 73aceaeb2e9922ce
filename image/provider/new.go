package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Answers are what "leap new" asks.
type Answers struct {
	Domain     string // Mail domain.
	Name       string // For people.
	Contact    string // Mail address of who runs it.
	Enrollment string // "open", "invite" or "closed".
	Operator   string // Name of the first operator.
}

const providerText = `// Who this provider is. "leap help provider" explains every member.
{
	"domain": %s,
	"name": {"en": %s},
	"description": {"en": %s},
	"contacts": [%s],
	// Who may sign up: "open", "invite" or "closed".
	"enrollment_policy": %s,
}
`

const commonText = `// What all nodes have. Services, tags and nodes may say otherwise: later files win,
// "+member" adds to a list, "-member" takes from it, "!member" replaces it.
{
	"time": {"servers": ["0.pool.ntp.org", "1.pool.ntp.org"]},
}
`

const ignoreText = `# What belongs to one operator's machine.
.leap/
`

// New makes a provider instance under dir, which must not exist or be empty,
// with its authorities, the key that signs documents, and its first operator,
// whose keys are kept in keyFile. It appears whole or not at all.
func New(dir string, a Answers, keyFile string, now time.Time) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return fmt.Errorf("%s is not empty: if it is your provider already, go on there (cd, leap node add), else choose another directory", dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".new-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // After the rename there is nothing to remove.
	op, err := NewOperator(a.Domain, a.Operator)
	if err != nil {
		return err
	}
	if err := fill(tmp, a, op, now); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	// The keys first: an instance whose secrets nobody can open is useless.
	if err := op.Write(keyFile); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return errors.Join(err, os.Remove(keyFile))
	}
	return nil
}

// fill makes an instance in an empty directory.
func fill(dir string, a Answers, op *Operator, now time.Time) error {
	q := func(s string) string {
		text, err := json.Marshal(s)
		if err != nil {
			panic(err) // A string can be written.
		}
		return string(text)
	}
	texts := map[string]string{
		"provider.json": fmt.Sprintf(providerText, q(a.Domain), q(a.Name), q("Mail that only you can read."), q(a.Contact), q(a.Enrollment)),
		"common.json":   commonText,
		".gitignore":    ignoreText,
	}
	for name, text := range texts {
		if err := Write(dir, name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, d := range []string{"services", "tags", "nodes", "users", "files", "secrets"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	i, err := Open(dir)
	if err != nil {
		return err
	}
	req, err := op.Request()
	if err != nil {
		return err
	}
	r, err := recipient(req.Recipient)
	if err != nil {
		return err
	}
	v, err := i.firstVault(op, r)
	if err != nil {
		return err
	}
	if _, err := i.MakeAuthorities(v, now); err != nil {
		return err
	}
	_, err = i.AddUser(v, req, "deploy", now)
	return err
}
