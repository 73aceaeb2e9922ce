package tuftest

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/url"
	"path"
	"strconv"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A Key is one that signs.
type Key struct {
	signature.Signer
	Public *metadata.Key
	ID     string
}

// NewKey makes an Ed25519 key.
func NewKey(t testing.TB) Key {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	signer, err := signature.LoadSigner(private, crypto.Hash(0))
	must(t, err)
	key, err := metadata.KeyFromPublicKey(public)
	must(t, err)
	id, err := key.ID()
	must(t, err)
	return Key{signer, key, id}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A Repo is a repository and all its keys. Tests change its fields, and then
// Publish.
type Repo struct {
	Root      *metadata.Metadata[metadata.RootType]
	Timestamp *metadata.Metadata[metadata.TimestampType]
	Snapshot  *metadata.Metadata[metadata.SnapshotType]
	Roles     map[string]*metadata.Metadata[metadata.TargetsType] // "targets" and those delegated to.
	Keys      map[string][]Key                                    // Who signs, by role.
	Files     map[string][]byte                                   // What was published, by name.

	t       testing.TB
	expires time.Time
}

// New makes a repository, and publishes it empty: root 2 of 3, targets 2 of 2, a
// key for snapshot and timestamp, and the role "release" 2 of 2 for the paths of
// releases. All expire 30 days after now.
func New(t testing.TB, now time.Time) *Repo {
	t.Helper()
	r := &Repo{t: t, expires: now.Add(30 * 24 * time.Hour).UTC().Truncate(time.Second), Keys: map[string][]Key{}, Files: map[string][]byte{}}
	r.Root, r.Timestamp, r.Snapshot = metadata.Root(r.expires), metadata.Timestamp(r.expires), metadata.Snapshot(r.expires)
	r.Roles = map[string]*metadata.Metadata[metadata.TargetsType]{"targets": metadata.Targets(r.expires)}
	r.Snapshot.Signed.Meta = map[string]*metadata.MetaFiles{}
	online := NewKey(t)
	r.SetKeys("root", 2, NewKey(t), NewKey(t), NewKey(t))
	r.SetKeys("targets", 2, NewKey(t), NewKey(t))
	r.SetKeys("snapshot", 1, online)
	r.SetKeys("timestamp", 1, online)
	r.Delegate("targets", metadata.DelegatedRole{Name: "release", Threshold: 2, Terminating: true, Paths: []string{"client/*/*/*", "node/*/*/*", "deltas/*"}}, NewKey(t), NewKey(t))
	r.PublishRoot()
	r.Publish()
	return r
}

// SetKeys replaces the keys of a role of the top level. It is in force from the
// next PublishRoot on, which the old and the new keys of root sign.
func (r *Repo) SetKeys(role string, threshold int, keys ...Key) {
	r.t.Helper()
	for _, old := range r.Keys[role] {
		_ = r.Root.Signed.RevokeKey(old.ID, role) // It may be revoked already.
	}
	for _, k := range keys {
		must(r.t, r.Root.Signed.AddKey(k.Public, role))
	}
	r.Root.Signed.Roles[role].Threshold = threshold
	r.Keys[role] = keys
}

// Delegate adds a role that one delegates to, with nothing in it, or changes who
// may sign for it.
func (r *Repo) Delegate(by string, role metadata.DelegatedRole, keys ...Key) {
	r.t.Helper()
	d := r.Roles[by].Signed.Delegations
	if d == nil {
		d = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
		r.Roles[by].Signed.Delegations = d
	}
	for _, k := range keys {
		d.Keys[k.ID] = k.Public
		role.KeyIDs = append(role.KeyIDs, k.ID)
	}
	d.Roles = append(d.Roles, role)
	if r.Roles[role.Name] == nil {
		r.Roles[role.Name], r.Keys[role.Name] = metadata.Targets(r.expires), keys
	}
}

// Add lists a target and publishes its bytes.
func (r *Repo) Add(role, name string, content, custom []byte) {
	r.t.Helper()
	f, err := metadata.TargetFile().FromBytes(name, content, "sha256", "sha512")
	must(r.t, err)
	if custom != nil {
		text := json.RawMessage(custom)
		f.Custom = &text
	}
	r.Roles[role].Signed.Targets[name] = f
	sum := sha256.Sum256(content)
	dir, base := path.Split(name)
	r.Files["targets/"+dir+hex.EncodeToString(sum[:])+"."+base] = content
}

// Next raises the version of a role that lists targets.
func (r *Repo) Next(roles ...string) {
	for _, role := range roles {
		r.Roles[role].Signed.Version++
	}
}

// PublishRoot signs the root and publishes it. Versions after the first are made
// with NextRoot.
func (r *Repo) PublishRoot(signers ...Key) {
	r.t.Helper()
	r.Files["metadata/"+strconv.FormatInt(r.Root.Signed.Version, 10)+".root.json"] = Sign(r.t, r.Root, append(signers, r.Keys["root"]...)...)
}

// NextRoot publishes another version of the root, changed, signed by the keys of
// the one before and its own.
func (r *Repo) NextRoot(change func()) {
	r.t.Helper()
	old := r.Keys["root"]
	change()
	r.Root.Signed.Version++
	var more []Key
	for _, k := range old {
		if _, still := r.Root.Signed.Keys[k.ID]; !still {
			more = append(more, k)
		}
	}
	r.PublishRoot(more...)
}

// Publish signs all roles, a new snapshot and a new timestamp.
func (r *Repo) Publish() {
	r.t.Helper()
	for name, m := range r.Roles {
		r.PublishRole(name, Sign(r.t, m, r.Keys[name]...), m.Signed.Version)
	}
	r.PublishSnapshot()
}

// PublishRole publishes the metadata of a role, and lists them.
func (r *Repo) PublishRole(name string, data []byte, version int64) {
	r.Files["metadata/"+strconv.FormatInt(version, 10)+"."+url.PathEscape(name)+".json"] = data
	r.Snapshot.Signed.Meta[name+".json"] = listing(data, version)
}

// PublishSnapshot signs a new snapshot and a new timestamp.
func (r *Repo) PublishSnapshot() {
	r.t.Helper()
	if r.Files["metadata/timestamp.json"] != nil {
		r.Snapshot.Signed.Version++
		r.Timestamp.Signed.Version++
	}
	data := Sign(r.t, r.Snapshot, r.Keys["snapshot"]...)
	r.Files["metadata/"+strconv.FormatInt(r.Snapshot.Signed.Version, 10)+".snapshot.json"] = data
	r.Timestamp.Signed.Meta["snapshot.json"] = listing(data, r.Snapshot.Signed.Version)
	r.PublishTimestamp()
}

// PublishTimestamp signs the timestamp as it is.
func (r *Repo) PublishTimestamp() {
	r.t.Helper()
	r.Files["metadata/timestamp.json"] = Sign(r.t, r.Timestamp, r.Keys["timestamp"]...)
}

// Mirror returns a mirror of what is published now.
func (r *Repo) Mirror() *Mirror { return &Mirror{Files: maps.Clone(r.Files)} }

// RootFile returns a version of the root, as it was published.
func (r *Repo) RootFile(version int) []byte {
	return r.Files["metadata/"+strconv.Itoa(version)+".root.json"]
}

// Sign returns metadata with the signatures of the keys and no others.
func Sign[T metadata.Roles](t testing.TB, m *metadata.Metadata[T], keys ...Key) []byte {
	t.Helper()
	m.ClearSignatures()
	for _, k := range keys {
		_, err := m.Sign(k)
		must(t, err)
	}
	data, err := m.ToBytes(false)
	must(t, err)
	return data
}

func listing(data []byte, version int64) *metadata.MetaFiles {
	sum := sha256.Sum256(data)
	return &metadata.MetaFiles{Version: version, Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}

// Listing are the hashes by which a target is listed: SHA-256 and SHA-512.
func Listing(content []byte) [2][]byte {
	a, b := sha256.Sum256(content), sha512.Sum512(content)
	return [2][]byte{a[:], b[:]}
}
