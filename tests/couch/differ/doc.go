// Package differ sends the same random requests to the database and to npm's
// pouchdb-server, and compares the answers.
//
// What may differ is one table, excuses: each entry mirrors a row of the known
// differences between implementations (database.md section 12) and says what of
// which answers is not compared. In the long form of the test an entry that was
// never needed fails it. Revisions are compared by their generation and by the
// order in which each server showed them first; the reason of an error is prose
// and not compared, its name is.
package differ
