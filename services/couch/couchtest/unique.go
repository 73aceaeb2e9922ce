package couchtest

import "testing"

// TestUnique runs the part of the suite that is about callers who want the same
// thing at once.
func TestUnique(t *testing.T, s Server) {
	t.Run("setup", s.setup)
	t.Run("users", s.users)
	t.Run("identities", s.identities)
	t.Run("sessions", s.sessions)
	t.Run("invites", s.invites)
	t.Run("pool", s.pool)
	t.Run("outbound", s.outbound)
	t.Run("documents", s.documents)
	t.Run("append races", s.appendRaces)
	t.Run("blobs", s.blobs)
}
