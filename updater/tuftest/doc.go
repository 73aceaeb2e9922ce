// Package tuftest has repositories of The Update Framework that tests make in a
// moment and then break, and a mirror that misbehaves in every way that one can.
//
//	Repo      the signers' side: keys, roles, targets, and what is published
//	Mirror    what a client fetches from: the published files, and what is done to them
//	Disk      a disk that fills up, or that of a process that is killed or whose power fails
//	Stock     a client by others, go-tuf's, to which a tree must make sense too
//
// The keys are made anew each time, and are nobody's.
package tuftest
