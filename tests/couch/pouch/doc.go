// Package pouch lets npm's pouchdb, as a client, judge the database: documents,
// lists, feeds, queries, attachments, and replication in every direction. The
// programs are in testdata; each prints one line for each check.
package pouch
