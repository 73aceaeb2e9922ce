// Package update brings a node to newer releases by itself: it decides which, when,
// and in whose turn, and has package slots try them.
//
// # Who decides what
//
// Bytes are the vendor's: nothing is written that its repository does not vouch for.
// Which release this node may run is the provider's: its director has to list the
// same file. When, both say: the vendor's plan has waves, and a node knows its place
// in them from a secret of its own, so that nobody can single it out; the node
// document has windows; and of all nodes that share a database one restarts at a time.
//
// Whom to trust for bytes a release knows itself, and no document can change that.
// Releases of developers are built without such a root, and take the one that the
// document names; what they came to trust that way is forgotten by a release that has
// one.
//
// # One look
//
// A look ([Updater.Look]) begins with both repositories as they are now, whatever was
// found before, so that a halt, a withdrawn permission or an expired timestamp counts
// at once; it ends with waiting for something, or with a restart:
//
//	check     both repositories agree on a newer release, and its wave has come
//	download  to the writable partition; goes on where a power cut ended it
//	window    a time at which the node may restart
//	turn      no other node restarts, and every database node is up
//	arm       written to the boot partition, read back, verified (package slots)
//	restart   from then on the release is on trial
//
// Arming comes last: whatever starts the machine once a release is armed starts that.
// If the restart does not follow, the release is taken back, and the next look begins
// from the beginning: what was allowed then may not be any more.
//
// # What is kept
//
// One file on the writable partition, replaced as a whole, says which release was
// armed and whether this node may have the turn; it is written before either is done.
// So the node knows after any crash what it has to give back, and tells by the names on
// the boot partition, which are the truth, how a trial has ended: the release runs and
// is good, or it was found bad. Bad ones are remembered by package slots, and not tried
// before a newer one comes or an operator says so.
//
// # The turn
//
// It is one document in the database, changed by comparing revisions. A node that has
// begun to restart keeps it until it is found good again. If it went back to the release
// before, or never came back, the turn stays, with the reason: nobody follows it with
// that release until an operator has looked. A turn that was taken and not used ends by
// itself; that it has not changed for so long each node measures by its own watch, so
// that clocks need not agree.
package update
