package tufrepo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/target"
)

// A SignatureFile is one signature, as it travels back from a signer.
type SignatureFile struct {
	Format    int    `json:"format"`
	Event     string `json:"event"`
	Role      string `json:"role"`
	Version   int64  `json:"version"`
	SHA256    string `json:"sha256"` // Of the bytes that were signed.
	KeyID     string `json:"keyid"`
	Signature string `json:"sig"` // Hex, as TUF has it.
}

// ParseSignature reads a signature file.
func ParseSignature(text []byte) (*SignatureFile, error) {
	f := &SignatureFile{}
	if err := decode("signature file", text, f); err != nil {
		return nil, err
	}
	if err := checkFormat("signature file", f.Format); err != nil {
		return nil, err
	}
	sig, err := hex.DecodeString(f.Signature)
	switch {
	case !eventName.MatchString(f.Event) || !roleName.MatchString(f.Role) || f.Version < 1 || !isDigest(f.SHA256) || !isDigest(f.KeyID):
		return nil, fmt.Errorf("signature file: a field is missing or has another form: %w", ErrFormat)
	case err != nil || len(sig) == 0 || len(sig) > 512 || hex.EncodeToString(sig) != f.Signature:
		return nil, fmt.Errorf("signature file: the signature is not in lower-case hex: %w", ErrFormat)
	}
	return f, nil
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == s
}

// demands are all whose signatures a role of the event needs: for root those of
// the root before too (TUF 5.3.4).
func (e *Event) demands(role string) (list []keys) {
	add := func(by *signed) {
		if by == nil {
			return
		}
		if k, ok := by.delegate(role); ok {
			list = append(list, k)
		}
	}
	switch {
	case role == metadata.ROOT:
		add(e.base[role])
		add(e.next[role])
	case role == metadata.TARGETS:
		add(e.inForce(metadata.ROOT))
	default:
		add(e.inForce(metadata.TARGETS))
	}
	return list
}

// inForce is the role as it will be.
func (e *Event) inForce(role string) *signed {
	if s := e.next[role]; s != nil {
		return s
	}
	return e.base[role]
}

// SignsFor are the roles of the event that a key may sign.
func (e *Event) SignsFor(id string) (roles []string) {
	for _, role := range e.Roles {
		if slices.ContainsFunc(e.demands(role), func(k keys) bool { return slices.Contains(k.ids, id) }) {
			roles = append(roles, role)
		}
	}
	return roles
}

// Sign signs the roles given, or if there are none all that the key may sign, and
// writes the signature files. It returns their paths. ErrNotSigner tells that the
// key has no part in it.
func (e *Event) Sign(ctx context.Context, s Signer, roles ...string) (files []string, err error) {
	key := s.Public()
	may := e.SignsFor(key.ID())
	if len(roles) == 0 {
		roles = may
	}
	if len(roles) == 0 {
		return nil, fmt.Errorf("%s signs nothing in %s: see \"leap-sign status\" for who does: %w", call(map[string]string{key.ID(): key.Name}, key.ID()), e.Name, ErrNotSigner)
	}
	for _, role := range roles {
		if !slices.Contains(may, role) {
			return files, fmt.Errorf("%s does not sign %s in %s: %w", call(map[string]string{key.ID(): key.Name}, key.ID()), role, e.Name, ErrNotSigner)
		}
		if p := e.plans[role]; p != nil && p.absent {
			return files, fmt.Errorf("the plan of releases did not come with %s: get content/%s, nobody signs it unseen: %w", e.Name, target.PlanPath, ErrAltered)
		}
		next := e.next[role]
		sig, err := s.Sign(ctx, next.payload)
		if err != nil {
			return files, fmt.Errorf("signing %s: %w", role, err)
		}
		if !verified(key.Key, next.payload, sig) {
			return files, fmt.Errorf("the signature that %s made for %s does not verify: %w", key.Name, role, ErrKey)
		}
		path := filepath.Join(e.Dir, "signatures", role+"."+key.ID()[:16]+".json")
		f := SignatureFile{format, e.Name, role, next.version(), next.digest(), key.ID(), hex.EncodeToString(sig)}
		if err := putJSON(path, f, 0o644); err != nil {
			return files, err
		}
		files = append(files, path)
	}
	return files, nil
}

// A Tally is how far the signatures of a role are.
type Tally struct {
	Role    string   `json:"role"`
	Version int64    `json:"version"`
	SHA256  string   `json:"sha256"`
	Groups  []Group  `json:"groups"`
	Signed  []string `json:"signed"`            // Keys whose signature is there.
	Refused []string `json:"refused,omitempty"` // Files that do not count, and why.
}

// A Group is one demand: root has two, by the old and by the new keys.
type Group struct {
	By      string   `json:"by"`
	Have    int      `json:"have"`
	Want    int      `json:"want"`
	Missing []string `json:"missing,omitempty"` // Keys that have not signed.
}

// Done reports whether nothing is missing.
func (t Tally) Done() bool {
	return !slices.ContainsFunc(t.Groups, func(g Group) bool { return g.Have < g.Want })
}

// Tally reads the signature files as they are now. A file that does not count is
// named with the reason, and is no error.
func (e *Event) Tally() ([]Tally, error) {
	var list []Tally
	sigs, refused, err := e.gather()
	if err != nil {
		return nil, err
	}
	for _, role := range e.Roles {
		s := e.next[role]
		t := Tally{Role: role, Version: s.version(), SHA256: s.digest(), Signed: []string{}, Refused: refused[role]}
		for _, sig := range sigs[role] {
			t.Signed = append(t.Signed, call(e.names, sig.KeyID))
		}
		for _, k := range e.demands(role) {
			g := Group{By: k.by, Have: k.threshold, Want: k.threshold}
			var few *ThresholdError
			if errors.As(k.judge(role, s.payload, sigs[role], e.names), &few) {
				g.Have, g.Missing = few.Have, few.Missing
			}
			t.Groups = append(t.Groups, g)
		}
		if refused[""] != nil && role == e.Roles[0] {
			t.Refused = append(t.Refused, refused[""]...)
		}
		list = append(list, t)
	}
	return list, nil
}

// gather reads the signature files: those that count by role, sorted by key, and
// the others with the reason; under "" those that name no role.
func (e *Event) gather() (map[string][]metadata.Signature, map[string][]string, error) {
	dir := filepath.Join(e.Dir, "signatures")
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	sigs, refused := map[string][]metadata.Signature{}, map[string][]string{}
	for _, entry := range list {
		if strings.HasPrefix(entry.Name(), ".") {
			continue // One that is being written.
		}
		text, err := read(filepath.Join(dir, entry.Name()), maxSmall)
		if err != nil {
			return nil, nil, err
		}
		f, err := ParseSignature(text)
		if err != nil {
			refused[""] = append(refused[""], plain(entry.Name())+": "+err.Error())
			continue
		}
		if why := e.refuses(f); why != "" {
			role := f.Role
			if e.next[role] == nil {
				role = ""
			}
			refused[role] = append(refused[role], plain(entry.Name())+": "+why)
			continue
		}
		sig, _ := hex.DecodeString(f.Signature) // Parsed before.
		same := func(s metadata.Signature) bool { return s.KeyID == f.KeyID }
		if !slices.ContainsFunc(sigs[f.Role], same) {
			sigs[f.Role] = append(sigs[f.Role], metadata.Signature{KeyID: f.KeyID, Signature: sig})
		}
	}
	for _, s := range sigs {
		slices.SortFunc(s, func(a, b metadata.Signature) int { return strings.Compare(a.KeyID, b.KeyID) })
	}
	return sigs, refused, nil
}

// refuses says why a signature does not count, or "".
func (e *Event) refuses(f *SignatureFile) string {
	s := e.next[f.Role]
	switch {
	case f.Event != e.Name || s == nil:
		return "it is for another event"
	case f.SHA256 != s.digest() || f.Version != s.version():
		return "it is over other bytes (SHA-256 " + f.SHA256 + "): the signer saw another event"
	}
	for _, k := range e.demands(f.Role) {
		if key := k.keys[f.KeyID]; key != nil && slices.Contains(k.ids, f.KeyID) {
			sig, _ := hex.DecodeString(f.Signature) // Parsed before.
			if verified(key, s.payload, sig) {
				return ""
			}
			return "the signature is wrong"
		}
	}
	return "the key is not one of the role's"
}
