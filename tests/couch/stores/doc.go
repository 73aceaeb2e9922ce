// Package stores runs the conformance suite of services/couch, the provider's
// stores, against databases that are not ours: npm's pouchdb-server, as a stand-in
// for Apache CouchDB. What it cannot do is a list with reasons
// (database.md section 13).
package stores
