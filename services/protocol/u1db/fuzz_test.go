package u1db_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/protocol/u1db"
)

// fuzz lets a reader read anything. What it accepts, its writer writes so that
// it reads the same.
func fuzz(f *testing.F, n int) {
	fm := forms()[n]
	f.Add(fm.encode(f, docs))
	f.Add(fm.encode(f, nil))
	f.Add(strings.Replace(fm.encode(f, docs), "\r\n", "\n", 1))
	f.Add("[\r\n{\"error\":\"unavailable\"}\r\n]\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, got, err := fm.decode(strings.NewReader(text), 1000)
		if err != nil {
			return
		}
		var b bytes.Buffer
		w, err := fm.write(&b, got)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			if err := w.Write(d); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			if d.Gen > result.NewGeneration { // Of the header that write uses.
				return
			}
		}
		_, again, err := fm.decode(&b, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got, again); d != "" {
			t.Error(d)
		}
	})
}

func FuzzPutReader(f *testing.F)           { fuzz(f, 0) }
func FuzzPlainReader(f *testing.F)         { fuzz(f, 1) }
func FuzzGetReader(f *testing.F)           { fuzz(f, 2) }
func FuzzPlainResponseReader(f *testing.F) { fuzz(f, 3) }

func FuzzSingles(f *testing.F) {
	for _, name := range []string{"testdata/get.txt", "testdata/put-response.txt"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if h, err := u1db.ReadGet(strings.NewReader(text)); err == nil {
			var b bytes.Buffer
			if err := u1db.WriteGet(&b, h); err != nil {
				t.Fatal(err)
			}
			if again, err := u1db.ReadGet(&b); err != nil || again != h {
				t.Errorf("%+v comes back as %+v, %v", h, again, err)
			}
		}
		if s, err := u1db.ReadPutResponse(strings.NewReader(text)); err == nil && s.NewGeneration < 0 {
			t.Errorf("negative generation %d", s.NewGeneration)
		}
	})
}

func FuzzErrorOf(f *testing.F) {
	f.Add(404, []byte(`{"error":"document does not exist"}`))
	f.Add(500, []byte(`{"type":"limit"}`))
	f.Add(0, []byte(nil))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if u1db.ErrorOf(status, body) == nil {
			t.Error("no error")
		}
	})
}

func BenchmarkPutReader(b *testing.B) {
	d := u1db.Document{ID: "D-00112233445566778899aabbccddeeff", Rev: "00112233445566778899aabbccddeeff:1", Content: `{"ld1":"` + strings.Repeat("x", 2800) + `"}`, TransID: "T-00112233445566778899aabbccddeeff"}
	var many []u1db.Document
	for i := range 1000 {
		d.Gen = i + 1
		many = append(many, d)
	}
	text := forms()[0].encode(b, many)
	n := 0
	for b.Loop() {
		_, got, err := forms()[0].decode(strings.NewReader(text), 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		n += len(got)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "docs/s")
}
