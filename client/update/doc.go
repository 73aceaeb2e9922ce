// Package update has the client replace itself by a newer release of its vendor,
// and go back where the new one does not work.
//
//	PREFIX/versions/1.4.0/leapc   a program for each version; two are kept
//	PREFIX/current                the link that is started: versions/1.4.0
//	PREFIX/vendor.json            who is trusted, and where they publish ([Vendor])
//	PREFIX/update/                what is known ([State]), and what was trusted last
//
// # Whom it trusts
//
// The vendor's repository of The Update Framework, by way of updater/tufclient,
// beginning with the root that the program was built with or that stands in
// vendor.json. Not the sources, and not the provider: it has no key for programs.
// What the program says of itself, started as a trial before it counts, must be
// what was signed. Who may write in the prefix decides what runs; so the prefix
// belongs to who runs it or to root, and an Updater that may not write there
// looks and does nothing else.
//
// # How it changes over
//
// A release is fetched beside its place, verified, started once as a trial, and
// renamed. Then a [Trial] is noted, the link is replaced (a new one, rename, fsync
// of the directory), and the parts of the client that ran are told to start again
// and asked which version they are. They have 30 seconds for that, all together; a
// part that says nothing or something else is why all go back: link, parts, and a
// note that the version is bad, which is not tried again.
//
// Whatever ends in between, by kill -9 or the power, current is one of the two
// versions, whole and verified. Who comes next finds the Trial and ends it
// ([Updater.Settle]): a client that has started with the new version and answers
// has passed it.
//
// # When
//
// By the vendor's plan, in waves ([target.Plan]). The place of this computer in
// them comes of a secret in the file position, random bytes that never leave it.
// Nothing is sent that tells one computer from another.
//
// # What it never does
//
// It starts no program and stops none, but through what it was given (Config's
// Try and Parts), and it touches no firewall: what blocks traffic goes on to.
package update
