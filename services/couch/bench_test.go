package couch_test

import (
	"fmt"
	"strings"
	"testing"

	"leap.example/services/couch"
	"leap.example/services/protocol/u1db"
)

// The figures are those of a node in the same process, which writes durably.

// newUserDB starts a node with one user's database.
func newUserDB(b *testing.B) *couch.UserDB {
	b.Helper()
	_, s := setup(b)
	if err := s.DB(b, "admin").UserDBs().Create(b.Context(), user); err != nil {
		b.Fatal(err)
	}
	return s.DB(b, "soledad").UserDBs().Open(user)
}

// appendNew appends n new documents of 4 KB.
func appendNew(b *testing.B, db *couch.UserDB, n int, next *int) {
	docs := make([]u1db.Document, n)
	for i := range docs {
		*next++
		docs[i] = document(fmt.Sprint("D-", *next), "r:1")
		docs[i].Content = `{"raw":"` + strings.Repeat("x", 4000) + `"}`
	}
	if _, err := db.Append(b.Context(), docs, make([]string, n)); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 50} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			db, next := newUserDB(b), 0
			for b.Loop() {
				appendNew(b, db, n, &next)
			}
		})
	}
}

func BenchmarkInfo(b *testing.B) {
	db, next := newUserDB(b), 0
	appendNew(b, db, 50, &next)
	for b.Loop() {
		if _, _, _, err := db.Info(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkToken(b *testing.B) {
	_, s := setup(b)
	st := s.DB(b, "soledad").Tokens()
	if err := st.Create(b.Context(), "token", user); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := st.User(b.Context(), "token"); err != nil {
			b.Fatal(err)
		}
	}
}
