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

// renewBefore is how long before its end a certificate is made anew.
const renewBefore = 60 * 24 * time.Hour

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
			if _, certified := i.Files[file]; certified && l.name == "agent" && !v.has(secret) {
				return made, fmt.Errorf("secrets/%s%s %w. If there is none: remove files/%s, and install the node anew (\"leap node identity %s FILE --reinstall\")", secret, secretExt, ErrLost, file, n.Name)
			}
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
			if l.name == "agent" { // The way to a node that nobody has deployed to for long stays open.
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

// warnBefore is how long before its end a certificate is complained about. What
// is renewed by itself was renewed long before.
const warnBefore = 30 * 24 * time.Hour

// Expiring returns what ends within 30 days, or is missing, of a node's certificates.
func (i *Instance) Expiring(n *Node, now time.Time) (errs error) {
	for _, l := range i.leaves(n) {
		file := NodeFile(n.Name, l.name+".crt")
		c, err := certs.ParseCert(i.Files[file])
		switch {
		case err != nil:
			errs = errors.Join(errs, fmt.Errorf("files/%s is missing: run \"leap cert update\"", file))
		case now.Add(warnBefore).After(c.NotAfter):
			errs = errors.Join(errs, fmt.Errorf("files/%s ends on %s: run \"leap cert update\"", file, c.NotAfter.Format(time.DateOnly)))
		case !slices.Equal(c.DNSNames, l.names):
			errs = errors.Join(errs, fmt.Errorf("files/%s has not the names that the node has: run \"leap cert update\"", file))
		}
	}
	return errs
}
