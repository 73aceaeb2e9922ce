package backup_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"leap.example/services/bigcouch/backup"
)

var manifest = backup.Manifest{
	Header: backup.Header{Node: "bigcouch@a", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Stale: []uint16{7}},
	Format: 1, Total: 9, Cluster: []string{"a", "b"}, Shards: []backup.Shard{{Shard: 0, Index: 3}, {Shard: 7, Index: 9, Term: 2, Epoch: 1}},
}

// archive writes a backup of two shards with some content.
func archive(t testing.TB, m backup.Manifest, to age.Recipient, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := backup.NewWriter(&b, m, []age.Recipient{to})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range m.Shards {
		err := w.Shard(s.Shard, func(w io.Writer) ([32]byte, error) {
			_, err := w.Write(content)
			return sha256.Sum256(content), err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(data []byte, with age.Identity) (m backup.Manifest, shards [][]byte, err error) {
	r, err := backup.NewReader(bytes.NewReader(data), []age.Identity{with})
	if err != nil {
		return m, nil, err
	}
	defer r.Close()
	_, err = r.Shards(func(_ backup.Shard, in io.Reader) error {
		data, err := io.ReadAll(in)
		shards = append(shards, data)
		return err
	})
	return r.Manifest, shards, err
}

func TestArchive(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	to, err := backup.ParseRecipients([]string{hybrid.Recipient().String(), x25519.Recipient().String()})
	if err != nil || len(to) != 2 {
		t.Fatal(to, err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 1 << 20, 3<<20 + 5} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(rng.Uint32())
		}
		for i, id := range []age.Identity{hybrid, x25519} {
			data := archive(t, manifest, to[i], content)
			m, shards, err := read(data, id)
			if err != nil || m.Node != manifest.Node || m.Shards[1] != manifest.Shards[1] || len(shards) != 2 || !bytes.Equal(shards[0], content) || !bytes.Equal(shards[1], content) {
				t.Errorf("%d bytes: %+v, %d shards, %v", size, m, len(shards), err)
			}
		}
	}
	data := archive(t, manifest, to[1], []byte("content"))
	for i := range data {
		if _, _, err := read(data[:i], x25519); err == nil {
			t.Errorf("cut at %d: no error", i)
		}
		changed := bytes.Clone(data)
		changed[i] ^= 0x10
		if m, _, err := read(changed, x25519); err == nil && m.Node != manifest.Node {
			t.Errorf("changed at %d: no error", i)
		}
	}
	if _, _, err := read(data, hybrid); !errors.Is(err, backup.ErrIdentity) {
		t.Errorf("another key: %v", err)
	}
	for _, m := range []backup.Manifest{
		{Header: manifest.Header, Total: 9},
		{Header: manifest.Header, Total: 1, Shards: []backup.Shard{{Shard: 0}}},
		{Header: manifest.Header, Total: 9, Shards: []backup.Shard{{Shard: 9}}},
		{Header: manifest.Header, Total: 9, Shards: []backup.Shard{{Shard: 1}, {Shard: 1}}},
	} {
		if _, _, err := read(archive(t, m, to[1], nil), x25519); !errors.Is(err, backup.ErrMalformed) {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

func TestRecipients(t *testing.T) {
	for _, list := range [][]string{nil, {""}, {"age1"}, {"age1" + strings.Repeat("q", 58)}, {"ssh-ed25519 AAAA"}} {
		if to, err := backup.ParseRecipients(list); err == nil {
			t.Errorf("%q: %v", list, to)
		}
	}
}

func FuzzReader(f *testing.F) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	whole := archive(f, manifest, id.Recipient(), []byte("content"))
	f.Add(whole)
	f.Add([]byte("leap-couch-backup 1\n{\"node\":\"a\",\"time\":\"2026-01-02T03:04:05Z\"}\nage-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, shards, err := read(data, id); err == nil && (m.Node != manifest.Node || len(shards) != 2) {
			t.Errorf("read %+v", m)
		}
	})
}
