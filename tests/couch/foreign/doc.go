// Package foreign runs the programs of others that judge the database: npm's
// pouchdb-server, another implementation of CouchDB's API, and programs for
// Node that use npm's pouchdb, a client that was written for Apache CouchDB.
//
// Their versions are pinned by testdata/package-lock.json. They are installed
// once, into the user's cache directory, without running install scripts: the
// native part of the storage comes built. A machine without Node and npm is
// told so in one line, and the test is skipped; the long form of the tests
// (see [Long]) fails instead, since it would otherwise have judged nothing.
package foreign

import (
	"os"
	"testing"
)

// Long reports whether tests shall take their time: "make couch-conformance".
func Long() bool { return os.Getenv("LEAP_COUCH_LONG") != "" }

// OnlyLong skips the test unless tests shall take their time.
func OnlyLong(t testing.TB) {
	t.Helper()
	if !Long() {
		t.Skip("only in make couch-conformance")
	}
}

// lacks ends the test because something of others is missing.
func lacks(t testing.TB, format string, args ...any) {
	t.Helper()
	if Long() {
		t.Fatalf(format, args...)
	}
	t.Skipf("NOT JUDGED: "+format, args...)
}
