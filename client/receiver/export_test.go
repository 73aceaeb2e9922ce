package receiver

import (
	"context"

	"leap.example/client/mailstore"
	"leap.example/services/protocol/envelope"
)

// Read is what becomes of a message that the MX received.
func (r *Receiver) Read(ctx context.Context, h envelope.Header, raw []byte) (stored []byte, flags []string, st mailstore.State, err error) {
	m, err := r.read(ctx, h, raw)
	return m.raw, m.flags, m.state, err
}
