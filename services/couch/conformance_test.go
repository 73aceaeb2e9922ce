package couch_test

import (
	"os"
	"testing"

	"leap.example/services/couch/couchtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	couchtest.Test(t, newNode(t).server())
}

// Databases that all users share may be in several parts.
func TestConformanceInParts(t *testing.T) {
	t.Parallel()
	s := newNode(t).server()
	s.Q = 4
	couchtest.Test(t, s)
}

// As on Apache CouchDB: what must be unique is read back.
func TestConformanceExternal(t *testing.T) {
	t.Parallel()
	s := newNode(t).server()
	s.External = true
	couchtest.TestUnique(t, s)
}

// TestConformanceElsewhere runs the suite on the server LEAP_TEST_COUCH, which
// has the accounts of couch.Accounts with the password in the file
// LEAP_TEST_COUCH_PASSWORD_FILE. Use a server for tests: the pool of
// certificates is emptied.
func TestConformanceElsewhere(t *testing.T) {
	t.Parallel()
	url := os.Getenv("LEAP_TEST_COUCH")
	if url == "" {
		t.Skip("LEAP_TEST_COUCH is not set")
	}
	couchtest.Test(t, couchtest.Server{
		URLs: []string{url}, PasswordFile: os.Getenv("LEAP_TEST_COUCH_PASSWORD_FILE"), External: true,
	})
}
