// Package agent is the operator's hand on a node: it takes node documents,
// makes the node what they say, judges whether that is good, and takes it back
// if not. It is the only process beside init that runs as root.
//
// # Generations
//
// A document becomes a numbered directory on the writable partition before
// anything is done with it. Numbers only grow, also past documents that were
// refused by the gate, so that an old document can never be played again. The
// generation on trial is the current one; if it is found bad, the newest good
// one becomes current again and the bad one stays, with the reason, for people
// to read. What a crash or a power cut leaves behind is a whole generation on
// trial, which is judged at the next start.
//
// The node comes first, the disk second: going back is done before it is
// written, and a verdict that cannot be written is tried again until it is. A
// current generation that cannot be applied, because it is damaged or this
// release is too old for it, stays current, but the node is what the newest good
// one says that can be: at the least it has the network of its identity.
//
// # Applying
//
// Firewall, addresses, mesh, then services, each to the state that the document
// wants: what is so already is left alone, and a service whose part of the
// document is the same is not restarted. The gate of package health then
// decides. If the node's place in the network changed, an operator who may deploy
// must also reach it by a new connection, after a restart as well: who cuts
// himself off gets the node back by waiting. Why a generation was bad is kept
// with it, with how the service ended and what it wrote last.
//
// # Releases
//
// The release that runs is judged by the gate of the document that is applied,
// if the boot loader says that it is on trial, and blessed or given up (package
// slots). Meanwhile no document is taken, as no release is while a document is
// judged: one thing is on trial at a time. An operator may push a release and give
// the running one up.
//
// If the document says so, releases also come by themselves (package update), and are
// tried in the same way. Such a one also has to see the repositories that it came from
// before it is good.
//
// # Who may talk to it
//
// TLS 1.3 with certificates on both sides. The node's own comes with its key from
// the identity, and is renewed by documents; an operator's is signed by the
// operators' authority, which the document (before it, the identity) names, and
// says the role as organizational unit. There are no passwords. While the node
// does not know the time, dates are not looked at: nobody could set it right
// otherwise.
//
// # Secrets
//
// They come beside the document, are checked against the digests in it, kept
// under these digests by package keystore, and given to services as copies in
// memory. They are removed when no kept generation names them.
package agent
