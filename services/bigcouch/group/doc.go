// Package group is the replicated log of each shard: one raft group of
// hashicorp/raft for each, with its log, its stable store and its state in the
// node's one Pebble. [Set] implements shard.Log.
//
// # Who holds what
//
// [Config] says which nodes hold which shard: voters, an odd number, of which a
// majority has to have a write on disk before it is acknowledged. Shard 0, the
// catalogue, is on every node, so that each can route and authorise by itself;
// those that have no vote follow. The table is what the leader of a shard works
// towards, one change at a time (reconcile.go); the truth is the configuration
// in the log.
//
// A server of a group is a store, not a node: NODE@INCARNATION. A wiped node is
// another server, because it has forgotten its votes.
//
// # How a shard begins
//
// The first voter of the table founds a shard when all the others vouch that
// they have nothing of it, and promise it to him (found.go). So no node that
// lost its disk ever begins anew what others still have.
//
// # Writing
//
// [Set.Propose] finds the leader and proposes there, itself or over the peer
// port, until there is an outcome or no majority for some seconds. All attempts
// carry one op id: an attempt whose outcome is unknown is repeated and has the
// answer of the first. The answer is given when the leader has applied the
// entry, and, where the node that asked holds the shard, when that has too: who
// writes and then reads on one node reads what he wrote. A replica that does not
// come to have it within six seconds is late: the answer is given, and the shard
// read elsewhere (late.go).
//
// # Reading
//
// Reading needs nobody: a replica is a consistent state that may be old.
// [Set.Barrier] makes it fresh: the leader confirms with a majority that it is
// still that, and the replica waits until it has applied what was committed
// then. A replica that was just started is not read until it has what its leader
// says is committed, be that leader itself. After ten seconds it is read as it
// is, however old, since its leader may be out of reach; and once it was read it
// is read as long as it is a member ([Set.Ready]), unless it is late and another
// node can be asked that is not.
//
// # Releases
//
// What an entry does depends on the version of its shard, which is replicated
// with it, and never on the program (store.EntryVersion). Nodes tell each other
// which version they know; the leader proposes to raise that of its shard when all
// members know a higher one, and the entry has no effect if the members are others
// by then (version.go). A replica that meets a version it does not know ends with
// store.ErrVersion. So nodes are updated one after the other.
//
// # Durability
//
// Entries are synced before they are acknowledged; the state is written behind
// them in the same write-ahead log of Pebble without a sync of its own. A crash
// leaves the state at some earlier position, and the entries behind it are
// applied again. The position lies inside the state, in the same batch.
//
// # Damage and divergence
//
// The leader proposes a digest daily, or when asked: each replica hashes
// everything it has of the shard at that place of the log. A replica that is
// not what the majority is condemns its store, and the node stops. Its disk is
// wiped, and it comes back as another server.
package group
