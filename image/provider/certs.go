package provider

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
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

// renewBefore is how long before its end a certificate is made anew.
const renewBefore = 60 * 24 * time.Hour

// MakeAuthorities makes the authorities that are missing, and returns their names.
func (i *Instance) MakeAuthorities(v *Vault, now time.Time) (made []string, err error) {
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

func (i *Instance) writeFile(name string, text []byte) error {
	i.Files[name] = text
	return Write(i.Dir, "files/"+name, text, 0o644)
}

// key returns a secret that is a private key.
func (v *Vault) key(name string) (crypto.Signer, error) {
	text, err := v.Get(name)
	if err != nil {
		return nil, err
	}
	key, err := certs.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("secrets/%s%s: %w", name, secretExt, err)
	}
	return key, nil
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
	key, err := v.key(name + ".key")
	return cert, key, err
}

// NodeFile is the path below files/ of one of a node's own files.
func NodeFile(node, name string) string { return "nodes/" + node + "/" + name }

// NodeSecret is the name of one of a node's own secrets.
func NodeSecret(node, name string) string { return "node." + node + "." + name }

// A leaf is a certificate of a node.
type leaf struct {
	name, ca string
	names    []string
}

// leaves are the certificates that a node has to have.
func (i *Instance) leaves(n *Node) []leaf {
	list := []leaf{{"agent", "node_ca", []string{i.AgentName(n)}}, {"server", "ca", i.certNames(n)}}
	if n.Has("bigcouch") {
		list = append(list, leaf{"peer", "peer_ca", []string{n.Name}})
	}
	return list
}

// UpdateCerts makes the certificates of nodes that are missing, end within 60
// days, have other names than they should or another authority; all of them, if
// force is set. It returns what it made. Keys stay as they are.
func (i *Instance) UpdateCerts(v *Vault, nodes []*Node, force bool, now time.Time) (made []string, err error) {
	for _, n := range nodes {
		for _, l := range i.leaves(n) {
			file := NodeFile(n.Name, l.name+".crt")
			ca, signer, err := i.authority(v, l.ca)
			if err != nil {
				return made, err
			}
			secret := NodeSecret(n.Name, l.name+".key")
			if _, err := v.Make([]Need{{Name: secret, Kind: P256}}, now); err != nil {
				return made, err
			}
			key, err := v.key(secret)
			if err != nil {
				return made, err
			}
			if old, err := certs.ParseCert(i.Files[file]); err == nil && !force && good(old, l.names, ca, key, now) {
				continue
			}
			tmpl, err := certs.Server(l.names, nil, now)
			if err != nil {
				return made, err
			}
			if l.name == "agent" { // It comes with the identity, once.
				tmpl.NotAfter = ca.NotAfter
			}
			der, err := certs.Create(tmpl, ca, key.Public(), signer, rand.Reader)
			if err != nil {
				return made, err
			}
			if err := i.writeFile(file, certs.EncodeCert(der)); err != nil {
				return made, err
			}
			made = append(made, "files/"+file)
		}
	}
	return made, nil
}

// good reports whether a certificate need not be made anew.
func good(c *x509.Certificate, names []string, ca *x509.Certificate, key crypto.Signer, now time.Time) bool {
	public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return slices.Equal(c.DNSNames, names) && now.Add(renewBefore).Before(c.NotAfter) && c.CheckSignatureFrom(ca) == nil && ok && public.Equal(key.Public())
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

// Expiring returns what ends within 30 days, or is missing, of a node's certificates.
func (i *Instance) Expiring(n *Node, now time.Time) (errs error) {
	for _, l := range i.leaves(n) {
		file := NodeFile(n.Name, l.name+".crt")
		c, err := certs.ParseCert(i.Files[file])
		switch {
		case err != nil:
			errs = errors.Join(errs, fmt.Errorf("files/%s is missing: run \"leap cert update\"", file))
		case now.Add(30 * 24 * time.Hour).After(c.NotAfter):
			errs = errors.Join(errs, fmt.Errorf("files/%s ends on %s: run \"leap cert update\"", file, c.NotAfter.Format(time.DateOnly)))
		case !slices.Equal(c.DNSNames, l.names):
			errs = errors.Join(errs, fmt.Errorf("files/%s has not the names that the node has: run \"leap cert update\"", file))
		}
	}
	return errs
}
