package group

import (
	"context"

	"github.com/hashicorp/raft"
)

// ears is the transport of a group, by which this node tells the library
// something too, as if it came from another.
type ears struct {
	*raft.NetworkTransport
	rpcs chan raft.RPC
	done <-chan struct{} // Closed when the group ends.
}

var (
	_ raft.Transport   = (*ears)(nil)
	_ raft.WithPreVote = (*ears)(nil)
	_ raft.WithClose   = (*ears)(nil)
)

// Consumer implements raft.Transport.
func (e *ears) Consumer() <-chan raft.RPC { return e.rpcs }

// listen hands on what others say, until the group ends.
func (e *ears) listen() {
	for {
		select {
		case rpc := <-e.NetworkTransport.Consumer():
			select {
			case e.rpcs <- rpc:
			case <-e.done:
				return
			}
		case <-e.done:
			return
		}
	}
}

// tell returns when the library has heard a command. It may be at something
// else, and busy with that for as long as a state takes to come. An error is
// errEnded, or that of ctx.
func (e *ears) tell(ctx context.Context, cmd raft.WithRPCHeader) error {
	heard := make(chan raft.RPCResponse, 1)
	select {
	case e.rpcs <- raft.RPC{Command: cmd, RespChan: heard}:
	case <-e.done:
		return errEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-heard: // What it thinks of it is seen by what it does.
		return nil
	case <-e.done:
		return errEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
