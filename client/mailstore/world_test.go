package mailstore_test

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/client/mailstore"
	"leap.example/client/soledad"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(tb testing.TB) (*mailstore.Store, *soledad.Store) {
	tb.Helper()
	var key [32]byte
	rand.Read(key[:])
	return reopen(tb, filepath.Join(tb.TempDir(), "store.db"), key)
}

func reopen(tb testing.TB, path string, key [32]byte) (*mailstore.Store, *soledad.Store) {
	tb.Helper()
	docs, err := soledad.Open(tb.Context(), path, key)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := docs.Close(); err != nil {
			tb.Error(err)
		}
	})
	s, err := mailstore.New(tb.Context(), docs)
	if err != nil {
		tb.Fatal(err)
	}
	return s, docs
}

func message(subject, body string) []byte {
	return []byte("From: a@leap.example\r\nSubject: " + subject + "\r\nDate: Tue, 24 Nov 2026 10:00:00 +0100\r\n\r\n" + body + "\r\n")
}

func add(tb testing.TB, s *mailstore.Store, mailbox string, raw []byte, flags ...string) uint32 {
	tb.Helper()
	uid, _, err := s.Append(tb.Context(), mailbox, raw, flags, time.Unix(1700000000, 0), mailstore.AppendOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return uid
}

func id(tb testing.TB, s *mailstore.Store, mailbox string) string {
	tb.Helper()
	m, err := s.Mailbox(tb.Context(), mailbox)
	if err != nil {
		tb.Fatal(err)
	}
	return m.ID
}

// show returns what a mail program sees: for each mailbox the UIDs and flags.
func show(tb testing.TB, s *mailstore.Store, mailboxes ...string) string {
	tb.Helper()
	var out strings.Builder
	for _, name := range mailboxes {
		items, _, err := s.Items(tb.Context(), id(tb, s, name))
		if err != nil {
			tb.Fatal(err)
		}
		out.WriteString(name + ":")
		for _, it := range items {
			out.WriteString(fmt.Sprintf(" %d%v", it.UID, it.Flags))
		}
		out.WriteString("\n")
	}
	return out.String()
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
