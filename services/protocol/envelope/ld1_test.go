package envelope_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leap.example/services/protocol/envelope"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

var (
	ad  = envelope.AD{User: "a11ce", Database: "user-a11ce", ID: "D-00112233445566778899aabbccddeeff", Rev: "41:3|9b:1"}
	doc = envelope.DocHeader{Type: "msg", LocalID: "msg/1", Dev: "41", Gen: 7, Prev: [][32]byte{sha256.Sum256([]byte("before"))}}
)

func epoch(n uint32, suite envelope.Suite) envelope.EpochKey {
	k := envelope.EpochKey{Epoch: n, Suite: suite}
	for i := range k.Key {
		k.Key[i] = byte(n) + byte(i)
	}
	return k
}

func keys(epochs ...uint32) func(uint32) (envelope.LD1Key, bool) {
	return func(n uint32) (envelope.LD1Key, bool) {
		if slices.Contains(epochs, n) {
			return epoch(n, 0).Key, true
		}
		return envelope.LD1Key{}, false
	}
}

func sealDoc(tb testing.TB, k envelope.EpochKey, ad envelope.AD, h envelope.DocHeader, body []byte) string {
	tb.Helper()
	content, err := envelope.SealDoc(k, ad, h, body, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

func TestDocRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := envelope.DocHeader{
			Type: rapid.StringN(0, 20, 255).Draw(t, "type"), LocalID: rapid.StringN(0, 50, 1024).Draw(t, "id"),
			Dev: rapid.StringN(0, 20, 255).Draw(t, "dev"), Gen: rapid.IntRange(0, 1<<60).Draw(t, "gen"),
			Deleted: rapid.Bool().Draw(t, "deleted"), Blob: rapid.Bool().Draw(t, "blob"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "prev") {
			h.Prev = append(h.Prev, [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "sum")))
		}
		body := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "body")
		k := epoch(rapid.Uint32Range(1, 3).Draw(t, "epoch"), envelope.Suite(rapid.IntRange(0, 2).Draw(t, "suite")))
		content, err := envelope.SealDoc(k, ad, h, body, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid([]byte(content)) || strings.ContainsAny(content, "\r\n") {
			t.Fatalf("not one line of JSON: %s", content)
		}
		back, got, err := envelope.OpenDoc(content, keys(1, 2, 3), ad)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(h, back); d != "" || !bytes.Equal(got, body) {
			t.Fatalf("header %s, body of %d bytes came back with %d", d, len(body), len(got))
		}
	})
}

func TestDocIsBound(t *testing.T) {
	for _, suite := range []envelope.Suite{envelope.XChaCha, envelope.AESGCM} {
		content := sealDoc(t, epoch(2, suite), ad, doc, []byte("body"))
		blob, err := base64.RawURLEncoding.DecodeString(content[len(`{"ld1":"`) : len(content)-len(`"}`)])
		if err != nil {
			t.Fatal(err)
		}
		raw := func(b []byte) string { return `{"ld1":"` + base64.RawURLEncoding.EncodeToString(b) + `"}` }
		flip := func(i int) string {
			b := bytes.Clone(blob)
			b[i] ^= 1
			return raw(b)
		}
		user, database, id, rev := ad, ad, ad, ad
		user.User, database.Database, id.ID, rev.Rev = "b0b", "user-b0b", "D-other", "41:4|9b:1"
		wrong := func(uint32) (envelope.LD1Key, bool) { return envelope.LD1Key{}, true }
		for _, tt := range []struct {
			name    string
			content string
			keys    func(uint32) (envelope.LD1Key, bool)
			ad      envelope.AD
			want    error
		}{
			{"good", content, keys(2), ad, nil},
			{"another user", content, keys(2), user, envelope.ErrForged},
			{"another database", content, keys(2), database, envelope.ErrForged},
			{"another document", content, keys(2), id, envelope.ErrForged},
			{"another revision", content, keys(2), rev, envelope.ErrForged},
			{"revision not canonical", content, keys(2), envelope.AD{User: ad.User, Database: ad.Database, ID: ad.ID, Rev: "9b:1|41:3"}, envelope.ErrRev},
			{"epoch not known", content, keys(1), ad, envelope.ErrEpoch},
			{"another key", content, wrong, ad, envelope.ErrForged},
			{"magic", flip(0), keys(2), ad, envelope.ErrFormat},
			{"the other suite", raw(append([]byte{'L', 'D', '1', 0, byte(3 - suite)}, blob[5:]...)), keys(2), ad, envelope.ErrForged},
			{"unknown suite", raw(append([]byte("LD1\x00\x07"), blob[5:]...)), keys(2), ad, envelope.ErrFormat},
			{"the epoch's number", flip(8), wrong, ad, envelope.ErrForged},
			{"nonce", flip(9), keys(2), ad, envelope.ErrForged},
			{"nonce, its end", flip(32), keys(2), ad, envelope.ErrForged},
			{"ciphertext", flip(40), keys(2), ad, envelope.ErrForged},
			{"tag", flip(len(blob) - 1), keys(2), ad, envelope.ErrForged},
			{"longer", raw(append(bytes.Clone(blob), 0)), keys(2), ad, envelope.ErrForged},
			{"cut off", raw(blob[:len(blob)-1]), keys(2), ad, envelope.ErrFormat},
			{"empty", "", keys(2), ad, envelope.ErrFormat},
			{"empty blob", raw(nil), keys(2), ad, envelope.ErrFormat},
			{"legacy content", `{"raw": "EzcB"}`, keys(2), ad, envelope.ErrFormat},
			{"space in the JSON", strings.Replace(content, ":", ": ", 1), keys(2), ad, envelope.ErrFormat},
			{"padded base64", content[:len(content)-2] + `="}`, keys(2), ad, envelope.ErrFormat},
			{"a line break in base64", content[:20] + "\n" + content[20:], keys(2), ad, envelope.ErrFormat},
		} {
			_, _, err := envelope.OpenDoc(tt.content, tt.keys, tt.ad)
			if tt.want == nil && err != nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("suite %d, %s: %v, want %v", suite, tt.name, err, tt.want)
			}
		}
	}
}

func TestDocPadding(t *testing.T) {
	sizes := map[int]bool{}
	for n := range 400 {
		sizes[len(sealDoc(t, epoch(1, 0), ad, doc, make([]byte, n)))] = true
	}
	if len(sizes) != 1 {
		t.Errorf("bodies below 400 bytes give %d sizes", len(sizes))
	}
	for n := 1; n < 100_000; n += 7 {
		p := envelope.Padmé(n)
		if p < n || p > max(512, n*112/100+1) || envelope.Padmé(p) != p {
			t.Fatalf("%d bytes are padded to %d", n, p)
		}
	}
}

func TestSealDocLimits(t *testing.T) {
	for name, f := range map[string]func(h *envelope.DocHeader, body *[]byte){
		"type":      func(h *envelope.DocHeader, _ *[]byte) { h.Type = strings.Repeat("x", 256) },
		"local id":  func(h *envelope.DocHeader, _ *[]byte) { h.LocalID = strings.Repeat("x", 1025) },
		"device":    func(h *envelope.DocHeader, _ *[]byte) { h.Dev = strings.Repeat("x", 256) },
		"replaced":  func(h *envelope.DocHeader, _ *[]byte) { h.Prev = make([][32]byte, 256) },
		"body":      func(_ *envelope.DocHeader, b *[]byte) { *b = make([]byte, envelope.MaxBody+1) },
		"generated": func(h *envelope.DocHeader, _ *[]byte) { h.Gen = -1 },
	} {
		h, body := doc, []byte(nil)
		f(&h, &body)
		if _, err := envelope.SealDoc(epoch(1, 0), ad, h, body, rand.Reader); !errors.Is(err, envelope.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := ad
	bad.Rev = "x"
	if _, err := envelope.SealDoc(epoch(1, 0), bad, doc, nil, rand.Reader); !errors.Is(err, envelope.ErrRev) {
		t.Errorf("revision: %v", err)
	}
	if _, err := envelope.SealDoc(epoch(1, 9), ad, doc, nil, rand.Reader); !errors.Is(err, envelope.ErrFormat) {
		t.Errorf("suite: %v", err)
	}
	if _, err := envelope.SealDoc(epoch(1, 0), ad, doc, nil, bytes.NewReader(nil)); err == nil {
		t.Error("sealed without a nonce")
	}
	if _, err := envelope.SealBlob(epoch(1, 0), ad, make([]byte, envelope.MaxBlob+1), rand.Reader); !errors.Is(err, envelope.ErrLimit) {
		t.Errorf("blob: %v", err)
	}
}

func TestBlobs(t *testing.T) {
	ad := envelope.AD{User: "a11ce", Database: "default", ID: "00112233445566778899aabbccddeeff"}
	const mib = 1 << 20
	for _, suite := range []envelope.Suite{envelope.XChaCha, envelope.AESGCM} {
		for _, n := range []int{0, 1, 504, 100_000, mib - 8, mib - 7, 2*mib - 8, 2 * mib, 3*mib + 12345} {
			body := bytes.Repeat([]byte{byte(n), 7}, n/2+1)[:n]
			sealed, err := envelope.SealBlob(epoch(1, suite), ad, body, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			got, err := envelope.OpenBlob(sealed, keys(1), ad)
			if err != nil || !bytes.Equal(got, body) {
				t.Fatalf("%d bytes come back as %d, %v", n, len(got), err)
			}
		}
		body := bytes.Repeat([]byte("0123456789abcdef"), 3*mib/16)
		sealed, err := envelope.SealBlob(epoch(1, suite), ad, body, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		const head, chunk = 33, mib + 16
		swapped := bytes.Clone(sealed)
		copy(swapped[head:], sealed[head+chunk:head+2*chunk])
		copy(swapped[head+chunk:], sealed[head:head+chunk])
		flipped := bytes.Clone(sealed)
		flipped[head+2*chunk+5] ^= 1
		nonce := bytes.Clone(sealed)
		nonce[head-1] = 1
		other := ad
		other.ID = "ffffffffffffffffffffffffffffffff"
		namespace := ad
		namespace.Database = "MX"
		for name, tt := range map[string]struct {
			data []byte
			ad   envelope.AD
			want error
		}{
			"good":              {sealed, ad, nil},
			"swapped chunks":    {swapped, ad, envelope.ErrForged},
			"last chunk gone":   {sealed[:head+2*chunk], ad, envelope.ErrForged},
			"first chunk gone":  {append(bytes.Clone(sealed[:head]), sealed[head+chunk:]...), ad, envelope.ErrForged},
			"cut":               {sealed[:len(sealed)-1], ad, envelope.ErrForged},
			"flipped":           {flipped, ad, envelope.ErrForged},
			"rest of a nonce":   {nonce, ad, envelope.ErrFormat},
			"another id":        {sealed, other, envelope.ErrForged},
			"another namespace": {sealed, namespace, envelope.ErrForged},
			"empty":             {nil, ad, envelope.ErrFormat},
			"a document's head": {append([]byte("LDX\x00"), sealed[4:]...), ad, envelope.ErrFormat},
		} {
			if _, err := envelope.OpenBlob(tt.data, keys(1), tt.ad); tt.want == nil && err != nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("suite %d, %s: %v, want %v", suite, name, err, tt.want)
			}
		}
		if _, err := envelope.OpenBlob(sealed, keys(2), ad); !errors.Is(err, envelope.ErrEpoch) {
			t.Errorf("epoch: %v", err)
		}
	}
}

// A vector is one line of testdata/ld1.json: everything that goes into LD1 and
// what must come out, for other implementations.
type vector struct {
	Name    string   `json:"name"`
	Suite   int      `json:"suite"`
	Epoch   uint32   `json:"epoch"`
	Key     string   `json:"key"`
	User    string   `json:"user"`
	Place   string   `json:"database"` // Of a blob: its namespace.
	ID      string   `json:"id"`
	Rev     string   `json:"rev,omitempty"`
	Type    string   `json:"type,omitempty"`
	LocalID string   `json:"local_id,omitempty"`
	Dev     string   `json:"dev,omitempty"`
	Gen     int      `json:"gen,omitempty"`
	Prev    []string `json:"prev,omitempty"`
	Deleted bool     `json:"deleted,omitempty"`
	Blob    bool     `json:"blob,omitempty"`
	Nonce   string   `json:"nonce"`
	Body    string   `json:"body"`
	Sealed  string   `json:"sealed"` // Content of a document; hex of a blob.
}

func TestLD1Vectors(t *testing.T) {
	var vs []vector
	golden(t, "ld1.json", func() any {
		nonce := hex.EncodeToString([]byte("nonce of 24 bytes, fixed"))
		key := func(n uint32) string { k := epoch(n, 0).Key; return hex.EncodeToString(k[:]) }
		v := vector{Name: "document", Suite: 1, Epoch: 1, Key: key(1), User: ad.User, Place: ad.Database, ID: ad.ID, Rev: ad.Rev, Type: doc.Type, LocalID: doc.LocalID, Dev: doc.Dev, Gen: doc.Gen, Prev: []string{hex.EncodeToString(doc.Prev[0][:])}, Nonce: nonce, Body: "hello"}
		gcm, del, ref, blob := v, v, v, v
		gcm.Name, gcm.Suite, gcm.Epoch, gcm.Key = "document, suite 2", 2, 2, key(2)
		del.Name, del.Deleted, del.Body = "deletion", true, ""
		ref.Name, ref.Blob, ref.Body = "document that names a blob", true, strings.Repeat("\x01", 32)+"\x00\x00\x00\x00\x00\x01\x11\x70"
		blob = vector{Name: "blob", Suite: 1, Epoch: 1, Key: key(1), User: ad.User, Place: "default", ID: "00112233445566778899aabbccddeeff", Nonce: nonce, Body: "hello"}
		blob2 := blob
		blob2.Name, blob2.Suite = "blob, suite 2", 2
		all := []vector{v, gcm, del, ref, blob, blob2}
		for i := range all {
			all[i].Sealed = sealVector(t, all[i])
		}
		return all
	}, &vs)
	for _, v := range vs {
		if got := sealVector(t, v); got != v.Sealed {
			t.Errorf("%s: sealed differently:\n%s\n%s", v.Name, got, v.Sealed)
		}
	}
}

func sealVector(t *testing.T, v vector) string {
	t.Helper()
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	k := envelope.EpochKey{Epoch: v.Epoch, Key: envelope.LD1Key(unhex(v.Key)), Suite: envelope.Suite(v.Suite)}
	ad := envelope.AD{User: v.User, Database: v.Place, ID: v.ID, Rev: v.Rev}
	nonce := bytes.NewReader(unhex(v.Nonce))
	if v.Rev == "" {
		b, err := envelope.SealBlob(k, ad, []byte(v.Body), nonce)
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(b)
	}
	h := envelope.DocHeader{Type: v.Type, LocalID: v.LocalID, Dev: v.Dev, Gen: v.Gen, Deleted: v.Deleted, Blob: v.Blob}
	for _, p := range v.Prev {
		h.Prev = append(h.Prev, [32]byte(unhex(p)))
	}
	s, err := envelope.SealDoc(k, ad, h, []byte(v.Body), nonce)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// golden reads a JSON file of testdata into v, after writing what build
// returns if the flag -update is given.
func golden(t *testing.T, name string, build func() any, v any) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		b, err := json.MarshalIndent(build(), "", "\t")
		if err == nil {
			err = os.WriteFile(file, append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestChainVectors(t *testing.T) {
	type chain struct {
		Key, User, Replica string
		DocID, BlobID      string
		TransIDs           []string
	}
	build := func() chain {
		k := epoch(1, 0).Key
		sum := sha256.Sum256([]byte("hello"))
		c := chain{Key: hex.EncodeToString(k[:]), User: "a11ce", Replica: "41", DocID: envelope.DocID(k, "msg/1"), BlobID: envelope.BlobID(k, sum)}
		head := envelope.Head0(k, c.User, c.Replica)
		for _, leaf := range [][32]byte{
			envelope.Leaf(1, c.DocID, "41:1", false, sum), envelope.RecvLeaf(2), envelope.Leaf(3, c.DocID, "41:2|9b:1", true, sha256.Sum256(nil)),
		} {
			head = envelope.NextHead(k, head, leaf)
			c.TransIDs = append(c.TransIDs, envelope.TransID(head))
		}
		return c
	}
	var want chain
	golden(t, "chain.json", func() any { return build() }, &want)
	if d := cmp.Diff(want, build()); d != "" {
		t.Error(d)
	}
}

func TestLeavesDiffer(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	leaves := map[[32]byte]string{}
	for name, l := range map[string][32]byte{
		"base": envelope.Leaf(1, "D-1", "a:1", false, sum), "generation": envelope.Leaf(2, "D-1", "a:1", false, sum),
		"id": envelope.Leaf(1, "D-2", "a:1", false, sum), "revision": envelope.Leaf(1, "D-1", "a:2", false, sum),
		"deleted": envelope.Leaf(1, "D-1", "a:1", true, sum), "body": envelope.Leaf(1, "D-1", "a:1", false, [32]byte{}),
		"shifted": envelope.Leaf(1, "D-1a", ":1", false, sum), "received": envelope.RecvLeaf(1), "received later": envelope.RecvLeaf(2),
	} {
		if other, ok := leaves[l]; ok {
			t.Errorf("%s and %s have one leaf", name, other)
		}
		leaves[l] = name
	}
	k := epoch(1, 0).Key
	if envelope.Head0(k, "ab", "c") == envelope.Head0(k, "a", "bc") {
		t.Error("user and replica run into each other")
	}
}

func FuzzOpenDoc(f *testing.F) {
	for _, suite := range []envelope.Suite{1, 2} {
		f.Add(sealDoc(f, epoch(1, suite), ad, doc, []byte("body")))
	}
	f.Add(`{"ld1":""}`)
	f.Add(`{"ld1":"}`)
	f.Fuzz(func(t *testing.T, content string) {
		h, body, err := envelope.OpenDoc(content, keys(1), ad)
		if err == nil && len(content) < 700 {
			t.Errorf("opened %q: %+v %q", content, h, body)
		}
	})
}

// FuzzParsePlain looks behind the seal: what is accepted has one encoding.
func FuzzParsePlain(f *testing.F) {
	f.Add(make([]byte, 512))
	f.Add(append([]byte("\x01\x00\x03msg\x00\x05msg/1\x00\x0241\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x04body"), make([]byte, 479)...))
	f.Fuzz(func(t *testing.T, plain []byte) {
		h, body, err := envelope.ParsePlain(plain)
		if err != nil {
			return
		}
		back, again, err := envelope.OpenDoc(sealDoc(t, epoch(1, 0), ad, h, body), keys(1), ad)
		if err != nil || !bytes.Equal(again, body) || cmp.Diff(h, back) != "" {
			t.Errorf("%+v %q: %v", h, body, err)
		}
	})
}

func FuzzOpenBlob(f *testing.F) {
	b, err := envelope.SealBlob(epoch(1, 0), ad, []byte("body"), strings.NewReader("nonce of 24 bytes, fixed"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("LD1\x00"))
	for i := range b { // A change anywhere is noticed.
		c := bytes.Clone(b)
		c[i] ^= 1
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if body, err := envelope.OpenBlob(data, keys(1), ad); err == nil && !bytes.Equal(data, b) {
			t.Errorf("opened something else: %q", body)
		}
	})
}

func BenchmarkSealDoc2K(b *testing.B) {
	body := make([]byte, 2048)
	for name, suite := range map[string]envelope.Suite{"suite1": 1, "suite2": 2} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				sealDoc(b, epoch(1, suite), ad, doc, body)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "docs/s")
		})
	}
}

func BenchmarkOpenDoc2K(b *testing.B) {
	content := sealDoc(b, epoch(1, 0), ad, doc, make([]byte, 2048))
	for b.Loop() {
		if _, _, err := envelope.OpenDoc(content, keys(1), ad); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "docs/s")
}

func BenchmarkBlob10M(b *testing.B) {
	body := make([]byte, 10<<20)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := envelope.SealBlob(epoch(1, 0), ad, body, rand.Reader); err != nil {
			b.Fatal(err)
		}
	}
}
