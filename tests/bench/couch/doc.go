// Package couch measures the database node as its clients meet it: "leapd run
// bigcouch" as a process of its own, over HTTP, with a store that is sealed as
// in production. What it is compared with (npm's pouchdb-server, Pebble alone,
// append and fdatasync, and a node whose store is not sealed) does the same
// work by turns in the same run, since other users of a machine then hit all
// alike: the ratios are what to trust.
//
// The scenes are benchmarks that run once each (-benchtime 1x) and report
// figures instead of times. "make bench-couch" runs them all and records what
// they say; "go test" runs them with hardly any work, so that they stay
// runnable.
package couch
