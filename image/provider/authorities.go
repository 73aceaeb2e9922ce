package provider

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"leap.example/services/protocol/certs"
)

// Authorities are the certificate authorities of a provider: file
// files/ca/NAME.crt, secret NAME.key.
var Authorities = []struct{ Name, For string }{
	{"ca", ""},                    // Of what clients talk to: its fingerprint is in provider.json.
	{"client_ca", ""},             // Of clients: leapd's service ca signs with it.
	{"peer_ca", " database"},      // Of database nodes among themselves.
	{"node_ca", " nodes"},         // Of nodes' agents.
	{"operator_ca", " operators"}, // Of operators.
}

// SignerKey is the secret that signs node documents.
const SignerKey = "signer.key"

// renewAuthority is how long before its end an authority's certificate is made
// anew: long before the certificates that it signed are.
const renewAuthority = 365 * 24 * time.Hour

// pinned is the authority whose certificate clients know by its fingerprint.
const pinned = "ca"

// ErrLost is that a key is missing which others already rely on. Another one in its
// place would not be obeyed, or believed.
var ErrLost = errors.New("is lost, and no other one can take its place: restore it from a copy of this directory")

// MakeAuthorities makes the authorities that are missing, and returns their names.
// Once there is a node that may rely on them, or a certificate, it makes no other
// key in the place of one that is missing: [ErrLost].
func (i *Instance) MakeAuthorities(v *Vault, now time.Time) (made []string, err error) {
	if err := i.lostAuthorities(v); err != nil {
		return nil, err
	}
	p := i.Provider("")
	for _, a := range Authorities {
		file := "ca/" + a.Name + ".crt"
		if _, ok := i.Files[file]; ok {
			continue
		}
		if _, err := v.Make([]Need{{Name: a.Name + ".key", Kind: P256}}, now); err != nil {
			return made, err
		}
		key, err := v.key(a.Name + ".key")
		if err != nil {
			return made, err
		}
		tmpl := certs.CA(p.Name[p.DefaultLanguage]+a.For, p.Domain, a.Name == "client_ca", now)
		der, err := certs.Create(tmpl, tmpl, key.Public(), key, rand.Reader)
		if err != nil {
			return made, err
		}
		if err := i.writeFile(file, certs.EncodeCert(der)); err != nil {
			return made, err
		}
		made = append(made, a.Name)
	}
	more, err := v.Make([]Need{{Name: SignerKey, Kind: Ed25519}}, now)
	return append(made, more...), err
}

// lostAuthorities finds keys of authorities, and that of the signer, that are
// missing and must not be made anew.
func (i *Instance) lostAuthorities(v *Vault) (errs error) {
	begun, err := i.begun()
	if err != nil {
		return err
	}
	const (
		anew      = "If there is none: "
		reinstall = `remove files/ca/%s.crt, compiled/ and the public_key in each node's file, run "leap cert ca" and "leap cert update --force", and install all nodes anew ("leap node identity NAME FILE --reinstall")`
	)
	for _, a := range Authorities {
		_, certified := i.Files["ca/"+a.Name+".crt"]
		if v.has(a.Name+".key") || !certified && !begun {
			continue
		}
		errs = errors.Join(errs, fmt.Errorf("secrets/%s.key%s %w. "+anew+reinstall, a.Name, secretExt, ErrLost, a.Name))
	}
	if !v.has(SignerKey) && begun {
		errs = errors.Join(errs, fmt.Errorf(`secrets/%s%s %w. `+anew+`no node obeys you any more; remove compiled/ and the public_key in each node's file, run "leap cert ca", and flash all nodes anew with new identities`, SignerKey, secretExt, ErrLost))
	}
	return errs
}

// begun reports whether a node may hold something of this instance: one was met,
// or a document was compiled.
func (i *Instance) begun() (bool, error) {
	if slices.ContainsFunc(i.Nodes, func(n *Node) bool { return n.Mesh.PublicKey != "" }) {
		return true, nil
	}
	list, err := filepath.Glob(filepath.Join(i.Dir, "compiled", "*.json"))
	return len(list) > 0, err
}

// RenewAuthorities makes the certificates of authorities anew that end within a
// year. Keys and names stay, so that what they have signed stays good, and is
// good under either. The one whose fingerprint clients know is among them only
// if all is set. It returns what it made.
func (i *Instance) RenewAuthorities(v *Vault, all bool, now time.Time) (made []string, err error) {
	for _, a := range Authorities {
		if a.Name == pinned && !all {
			continue
		}
		old, key, err := i.authority(v, a.Name)
		if err != nil {
			return made, err
		}
		if now.Add(renewAuthority).Before(old.NotAfter) {
			continue
		}
		tmpl := certs.CA("", "", false, now)
		tmpl.SerialNumber, tmpl.Subject, tmpl.SubjectKeyId = nil, old.Subject, old.SubjectKeyId
		der, err := certs.Create(tmpl, tmpl, key.Public(), key, rand.Reader)
		if err != nil {
			return made, err
		}
		file := "ca/" + a.Name + ".crt"
		if err := i.writeFile(file, certs.EncodeCert(der)); err != nil {
			return made, err
		}
		made = append(made, "files/"+file)
	}
	return made, nil
}

// Ending returns which certificates end soon that are no node's: those of
// authorities and operators.
func (i *Instance) Ending(now time.Time) (errs error) {
	for _, a := range Authorities {
		before, then := warnBefore, `run "leap cert ca"`
		if a.Name == pinned {
			before, then = renewAuthority, `"leap cert ca --renew" makes it anew, with another fingerprint, which new clients must be given`
		}
		if c, err := certs.ParseCert(i.Files["ca/"+a.Name+".crt"]); err == nil && now.Add(before).After(c.NotAfter) {
			errs = errors.Join(errs, fmt.Errorf("files/ca/%s.crt ends on %s: %s", a.Name, c.NotAfter.Format(time.DateOnly), then))
		}
	}
	for _, u := range i.Users {
		if c, err := certs.ParseCert([]byte(u.Certificate)); err == nil && now.Add(warnBefore).After(c.NotAfter) {
			errs = errors.Join(errs, fmt.Errorf("users/%s.json: his certificate ends on %s: run \"leap cert update\"", u.Name, c.NotAfter.Format(time.DateOnly)))
		}
	}
	return errs
}

// authority returns one of the authorities.
func (i *Instance) authority(v *Vault, name string) (*x509.Certificate, crypto.Signer, error) {
	text, ok := i.Files["ca/"+name+".crt"]
	if !ok {
		return nil, nil, fmt.Errorf("files/ca/%s.crt is missing: run \"leap cert ca\"", name)
	}
	cert, err := certs.ParseCert(text)
	if err != nil {
		return nil, nil, fmt.Errorf("files/ca/%s.crt: %w", name, err)
	}
	if !v.has(name + ".key") {
		return nil, nil, fmt.Errorf("secrets/%s.key%s %w (\"leap cert ca\" says more)", name, secretExt, ErrLost)
	}
	key, err := v.key(name + ".key")
	return cert, key, err
}

// UpdateUsers makes the certificates of operators anew that end within 60 days;
// all of them, if force is set. It returns whose it made.
func (i *Instance) UpdateUsers(v *Vault, force bool, now time.Time) (made []string, err error) {
	for _, u := range i.Users {
		old, err := certs.ParseCert([]byte(u.Certificate))
		if err != nil {
			return made, fmt.Errorf("users/%s.json: %w", u.Name, err)
		}
		if !force && now.Add(renewBefore).Before(old.NotAfter) {
			continue
		}
		if err := i.certify(v, u, old.PublicKey, now); err != nil {
			return made, err
		}
		if err := Set(i.Dir, "users/"+u.Name+".json", Member{"/certificate", u.Certificate}); err != nil {
			return made, err
		}
		made = append(made, "users/"+u.Name+".json")
	}
	return made, nil
}
