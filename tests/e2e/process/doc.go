// Package process runs "leapd dev" as a process of its own, which a test can
// watch, kill and start again. Everything it does is on loopback and under
// directories of the test.
package process
