package mailstore_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"leap.example/client/mailstore"
	"leap.example/client/mailstore/flags"
	"leap.example/client/soledad"
)

// prose returns about n bytes of words, some frequent and most rare.
func prose(r *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		k := int(r.ExpFloat64() * 1500)
		word := rand.New(rand.NewPCG(7, uint64(k)))
		for range 2 + word.IntN(9) {
			b.WriteByte("etaoinshrdlucmfwypvbgkjqxz"[min(25, int(word.ExpFloat64()*6))])
		}
		if b.WriteByte(' '); b.Len()%70 < 5 {
			b.WriteString("\r\n")
		}
	}
	return b.String()
}

func fill(tb testing.TB, s *mailstore.Store, docs *soledad.Store, n, size int) {
	tb.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for n > 0 {
		batch := min(n, 50)
		n -= batch
		var list []mailstore.Message
		for range batch {
			list = append(list, mailstore.Message{Mailbox: "INBOX", Raw: message(prose(r, 30), prose(r, size)), Date: time.Unix(1700000000, 0)})
		}
		err := docs.Update(tb.Context(), func(tx *soledad.Tx) error {
			for _, m := range list {
				if _, err := s.Add(tx, m); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

func BenchmarkAdd10K(b *testing.B) {
	s, docs := open(b)
	n := 0
	for b.Loop() {
		fill(b, s, docs, 50, 10000)
		n += 50
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkSetFlags(b *testing.B) {
	s, docs := open(b)
	fill(b, s, docs, 1000, 1000)
	box := id(b, s, "INBOX")
	var uids []uint32
	for i := range 1000 {
		uids = append(uids, uint32(i+1))
	}
	n := 0
	for b.Loop() {
		flag := fmt.Sprint("x", n%2)
		check(b, s.SetFlags(b.Context(), box, uids, []string{flag}, []string{flags.Seen, fmt.Sprint("x", (n+1)%2)}))
		n++
	}
	b.ReportMetric(float64(1000*n)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkSearch(b *testing.B) {
	s, docs := open(b)
	fill(b, s, docs, 3000, 10000)
	add(b, s, "INBOX", message("the zanzibar letter", "needle in a haystack"))
	box := id(b, s, "INBOX")
	for _, word := range []string{"haystack", "eta", "zz"} {
		b.Run(word, func(b *testing.B) {
			found := 0
			for b.Loop() {
				uids, err := s.Search(b.Context(), box, mailstore.Query{Text: []string{word}})
				check(b, err)
				found = len(uids)
			}
			b.ReportMetric(float64(found), "found")
		})
	}
}
