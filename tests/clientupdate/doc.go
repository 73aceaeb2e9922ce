// Package clientupdate has real clients update themselves, and breaks them: programs
// that do not start, updaters that are killed, and the unit that does it as root,
// in namespaces of its own. What is fetched comes from a vendor on loopback.
package clientupdate
