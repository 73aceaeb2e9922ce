// Package shard orders the writes of each shard and applies them to the store.
//
// [Log] is the seam: whoever writes proposes an entry to a shard and hears
// what came of it once it is durable and visible to readers of this node.
// [Local] is for a node by itself; package group replicates a shard over
// several nodes. Both apply entries to the same store.
//
// The order of a shard's log is the order of its effects: the comparison of
// revisions happens inside, so of two writers of one revision one is refused,
// whoever they are.
package shard

import (
	"context"
	"errors"
	"fmt"

	"leap.example/services/bigcouch/store"
)

// A Log orders and applies the entries of the shards of this node's database.
// Any goroutine may use it.
type Log interface {
	// Propose enters e into the log of a shard and returns its index and the
	// result of applying it. A nil error means that the effect is durable, and
	// visible on this node if that is to be read. ErrStopped, ErrNoMajority and
	// an ended ctx leave open whether it will be applied: the caller may propose
	// again under the same OpID.
	Propose(ctx context.Context, shard uint16, e store.Entry) (uint64, store.Result, error)

	// Barrier returns when everything that was acknowledged anywhere before
	// the call is visible to a reader of this node.
	Barrier(ctx context.Context, shard uint16) error
}

// ErrStopped means that the log takes no more entries: the node is stopping.
var ErrStopped = errors.New("the log is stopped")

// ErrNoMajority means that too few nodes of a shard can be reached.
var ErrNoMajority = errors.New("no majority")

// NoMajority is ErrNoMajority of a shard.
func NoMajority(shard uint16) error { return noMajority(shard) }

type noMajority uint16

func (n noMajority) Error() string      { return fmt.Sprintf("no majority for shard %d", uint16(n)) }
func (noMajority) Is(target error) bool { return target == ErrNoMajority }

// ErrBehind means that this node has not what it should have by now.
var ErrBehind = errors.New("not up to date")

// Behind is ErrBehind of a shard.
func Behind(shard uint16) error { return behind(shard) }

type behind uint16

func (b behind) Error() string {
	return fmt.Sprintf("shard %d is not up to date on this node", uint16(b))
}
func (behind) Is(target error) bool { return target == ErrBehind }
