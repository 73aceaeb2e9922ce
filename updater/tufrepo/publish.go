package tufrepo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Publish makes an event public: it verifies everything as a client would, writes
// the files that are new, signs snapshot and timestamp with the online key, and
// puts the event under done. Errors: *ThresholdError, *ExpiredError, ErrStale,
// ErrNotSigner for the online key. After an error, or a crash, clients see what
// was public before, or wait if a root with other keys is public already; the same
// call then does the rest.
func (r *Repo) Publish(ctx context.Context, name string, online Signer, now time.Time, progress Progress) error {
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if !eventName.MatchString(name) {
		return fmt.Errorf("there is no event %q: see \"leap-sign status\"", name)
	}
	e, err := ReadEvent(r.EventDir(name))
	if err != nil {
		return err
	}
	before, err := loadState(r.Public())
	if err != nil {
		return err
	}
	after, err := e.applyTo(before)
	if err != nil {
		return err
	}
	for role, s := range e.next {
		if now.After(s.expires()) {
			return fmt.Errorf("it took too long to sign %s: make a new event: %w", e.Name, &ExpiredError{role, s.expires().Format(time.DateTime)})
		}
	}
	if err := r.publishFiles(ctx, e, progress); err != nil {
		return err
	}
	for _, role := range slices.Backward(e.Roles) { // Delegated roles before targets.
		if role != metadata.ROOT {
			if err := r.publishRole(e.next[role], strconv.FormatInt(e.Version(role), 10)+"."+role+".json"); err != nil {
				return err
			}
		}
	}
	root := func() error {
		s := e.next[metadata.ROOT]
		if s == nil {
			return nil
		}
		return r.publishRole(s, strconv.FormatInt(s.version(), 10)+".root.json")
	}
	if err := r.publishOnline(ctx, before, after, online, now, root); err != nil {
		return err
	}
	return r.archive(e)
}

// applyTo is what will be public: everything in it is verified.
func (e *Event) applyTo(before *state) (*state, error) {
	after := &state{roles: map[string]*signed{}}
	if before != nil {
		after.public, after.roots, after.roles = before.public, slices.Clone(before.roots), maps.Clone(before.roles)
	}
	sigs, _, err := e.gather()
	if err != nil {
		return nil, err
	}
	for _, role := range e.Roles {
		s, now := e.next[role], after.roles[role]
		again := now != nil && string(now.payload) == string(s.payload) // Of a publication that was interrupted.
		fresh := now == nil && e.base[role] == nil || now != nil && e.base[role] != nil && string(now.payload) == string(e.base[role].payload)
		if !again && !fresh {
			return nil, fmt.Errorf("%s has changed since %s was made: make a new event: %w", role, e.Name, ErrStale)
		}
		*s.signatures() = sigs[role]
		for _, k := range e.demands(role) {
			if err := k.judge(role, s.payload, sigs[role], e.names); err != nil {
				return nil, err
			}
		}
		after.roles[role] = s
		if role == metadata.ROOT {
			if again {
				after.roots = after.roots[:len(after.roots)-1]
			}
			after.roots = append(after.roots, s)
		}
	}
	return after, after.checkOffline()
}

// publishFiles copies what the event brings, and makes sure that all else that it
// vouches for is there already.
func (r *Repo) publishFiles(ctx context.Context, e *Event, progress Progress) error {
	for _, f := range e.Files {
		name := filepath.Join(r.Public(), filepath.FromSlash(publicFile(f.Path, f.SHA256)))
		m, file, err := open(ctx, filepath.Join(e.Dir, "content", filepath.FromSlash(f.Path)), f.Path, progress)
		if errors.Is(err, fs.ErrNotExist) && intact(ctx, r.Public(), f, progress) == nil {
			continue // It was copied before a crash.
		}
		if err != nil {
			return err
		}
		m.want = &f // It fails before the file has its name.
		err = r.write(name, m, 0o644)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	if r.Director {
		return nil // Its targets are in another repository.
	}
	for _, s := range e.next {
		for _, p := range targetsOf(s) {
			f := fileOf(p, s.targets.Signed.Targets[p])
			name := publicFile(f.Path, f.SHA256)
			info, err := os.Stat(filepath.Join(r.Public(), filepath.FromSlash(name)))
			if err != nil || info.Size() != f.Length {
				return &DamageError{name, "it is missing or has another length; \"leap-sign verify\" tells what else is wrong"}
			}
		}
		if err := checkPlan(r.Public(), s); err != nil { // It may not have come with the event.
			return err
		}
	}
	return nil
}

func (r *Repo) publishRole(s *signed, name string) error {
	text, err := s.bytes()
	if err != nil {
		return err
	}
	if int64(len(text)) > limit(s.role) {
		return fmt.Errorf("%s has %d bytes, clients read %d: remove old targets", name, len(text), limit(s.role))
	}
	return r.publishMeta(name, text)
}

func (r *Repo) publishMeta(name string, text []byte) error {
	return r.write(filepath.Join(r.Public(), "metadata", name), bytes.NewReader(text), 0o644)
}

// publishOnline writes a snapshot of the roles and then, after root, the
// timestamp: clients see all of it or nothing.
func (r *Repo) publishOnline(ctx context.Context, before, after *state, online Signer, now time.Time, root func() error) error {
	for _, role := range []string{metadata.SNAPSHOT, metadata.TIMESTAMP} {
		k, _ := after.roles[metadata.ROOT].delegate(role)
		if !slices.Contains(k.ids, online.Public().ID()) || k.threshold != 1 {
			return fmt.Errorf("%s does not sign %s, but %s: %w", online.Public().Name, role, strings.Join(k.ids, ", "), ErrNotSigner)
		}
	}
	snapshot := metadata.Snapshot(r.until(metadata.SNAPSHOT, now))
	timestamp := metadata.Timestamp(r.until(metadata.TIMESTAMP, now))
	if before != nil {
		snapshot.Signed.Version = before.snapshot.Signed.Version + 1
		timestamp.Signed.Version = before.timestamp.Signed.Version + 1
	}
	snapshot.Signed.Meta = map[string]*metadata.MetaFiles{}
	for role, s := range after.roles {
		if role == metadata.ROOT {
			continue
		}
		text, err := s.bytes()
		if err != nil {
			return err
		}
		snapshot.Signed.Meta[role+".json"] = metaFile(s.version(), text)
	}
	text, err := signOnline(ctx, snapshot, online)
	if err != nil {
		return err
	}
	if err := r.publishMeta(strconv.FormatInt(snapshot.Signed.Version, 10)+".snapshot.json", text); err != nil {
		return err
	}
	timestamp.Signed.Meta["snapshot.json"] = metaFile(snapshot.Signed.Version, text)
	if text, err = signOnline(ctx, timestamp, online); err != nil {
		return err
	}
	if err := root(); err != nil {
		return err
	}
	return r.publishMeta("timestamp.json", text)
}

func metaFile(version int64, text []byte) *metadata.MetaFiles {
	sum := sha256.Sum256(text)
	return &metadata.MetaFiles{Version: version, Length: int64(len(text)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}

// signOnline signs snapshot or timestamp, and returns the file.
func signOnline[T metadata.Roles](ctx context.Context, m *metadata.Metadata[T], s Signer) ([]byte, error) {
	payload, err := cjson.EncodeCanonical(m.Signed)
	if err != nil {
		return nil, err
	}
	sig, err := s.Sign(ctx, payload)
	if err == nil && !verified(s.Public().Key, payload, sig) {
		err = fmt.Errorf("the signature of %s does not verify: %w", s.Public().Name, ErrKey)
	}
	if err != nil {
		return nil, err
	}
	m.Signatures = []metadata.Signature{{KeyID: s.Public().ID(), Signature: sig}}
	return encode(m)
}

// Timestamp is the daily job: it tells clients that what is public is still the
// newest. The snapshot is renewed with it when it has come near its end.
func (r *Repo) Timestamp(ctx context.Context, online Signer, now time.Time) error {
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	st, err := loadState(r.Public())
	if err != nil {
		return err
	}
	if st == nil {
		return errors.New("nothing is published yet: sign and publish the event init first")
	}
	// Nothing is made to look fresh that clients would refuse.
	if err := st.checkOffline(); err != nil {
		return err
	}
	k, _ := st.roles[metadata.ROOT].delegate(metadata.TIMESTAMP)
	if !slices.Contains(k.ids, online.Public().ID()) {
		return fmt.Errorf("%s does not sign timestamp: %w", online.Public().Name, ErrNotSigner)
	}
	if st.checkOnline() != nil || now.After(st.snapshot.Signed.Expires.Add(-Renewal(metadata.SNAPSHOT))) {
		return r.publishOnline(ctx, st, st, online, now, func() error { return nil })
	}
	next := metadata.Timestamp(r.until(metadata.TIMESTAMP, now))
	next.Signed.Version = st.timestamp.Signed.Version + 1
	next.Signed.Meta = st.timestamp.Signed.Meta
	text, err := signOnline(ctx, next, online)
	if err != nil {
		return err
	}
	return r.publishMeta("timestamp.json", text)
}

// archive puts a published event where it is remembered, without the files: they
// are public.
func (r *Repo) archive(e *Event) error {
	merged := mergeNames(r.Names, e.names)
	if !maps.Equal(merged, r.Names) {
		r.Names = merged
		if err := putJSON(r.configPath(), r.config, 0o644); err != nil {
			return err
		}
	}
	done := filepath.Join(r.dir, "done")
	if err := makeDir(done); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(e.Dir, "content")); err != nil {
		return err
	}
	if err := os.Rename(e.Dir, filepath.Join(done, e.Name)); err != nil {
		return err
	}
	return errors.Join(syncDir(done), syncDir(filepath.Dir(e.Dir)))
}
