// Package kivik runs kivik's own test suite for CouchDB servers (kiviktest)
// against the database. The suite was written against Apache CouchDB by the
// authors of a client that this project uses; no more of it may fail here than
// fails there (database.md section 16).
package kivik
