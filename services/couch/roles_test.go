package couch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"leap.example/services/couch"
	"leap.example/services/couch/couchtest"
	"leap.example/services/mx"
	mxtest "leap.example/services/mx/storetest"
	"leap.example/services/nickserver"
	nicktest "leap.example/services/nickserver/storetest"
	"leap.example/services/protocol/record"
	"leap.example/services/relay"
	relaytest "leap.example/services/relay/storetest"
	"leap.example/services/soledad"
	soledadtest "leap.example/services/soledad/storetest"
	"leap.example/services/webapp"
	webtest "leap.example/services/webapp/storetest"
)

// The stores pass the suites of the roles that use them.

// empty empties the databases of a node.
func empty(t *testing.T, s couchtest.Server) {
	t.Helper()
	admin := s.DB(t, "admin")
	all, err := couch.Databases(t.Context(), admin)
	check(t, "listing", err)
	for _, name := range all {
		if !strings.HasPrefix(name, "_") {
			check(t, "emptying", couch.Drop(t.Context(), admin, name))
		}
	}
	check(t, "setup", admin.Setup(t.Context()))
}

func TestForWebapp(t *testing.T) {
	t.Parallel()
	_, s := setup(t)
	webtest.Test(t, func(t *testing.T) webapp.Stores {
		empty(t, s)
		db := s.DB(t, "webapp")
		check(t, "an invite code", db.Invites().Create(t.Context(), "once-only", 1, time.Time{}))
		return webapp.Stores{
			Users: db.Users(), Identities: db.Identities(), Tokens: db.Tokens(), Sessions: db.Sessions(), Invites: db.Invites(),
			Messages: db.Messages(), Tickets: db.Tickets(), Certificates: db.Certificates(),
		}
	})
}

func TestForNickserver(t *testing.T) {
	t.Parallel()
	_, s := setup(t)
	nicktest.Test(t, func(t *testing.T, ids []*record.Identity) nickserver.Identities {
		empty(t, s)
		for _, i := range ids {
			check(t, "claiming", s.DB(t, "webapp").Identities().Create(t.Context(), i))
		}
		return s.DB(t, "nickserver").Identities()
	})
}

func TestForRelay(t *testing.T) {
	t.Parallel()
	_, s := setup(t)
	relaytest.Test(t, func(t *testing.T) relay.Outbound {
		empty(t, s)
		return s.DB(t, "relay").Outbound()
	})
}

func TestForSoledad(t *testing.T) {
	t.Parallel()
	_, s := setup(t)
	n := 0
	soledadtest.Test(t, func(t *testing.T, exists bool) func() soledadtest.Store {
		n++
		id := fmt.Sprintf("%032x", n)
		if exists {
			check(t, "creating", s.DB(t, "tapicero").UserDBs().Create(t.Context(), id))
		}
		db := s.DB(t, "soledad")
		return func() soledadtest.Store { return db.UserDBs().Open(id) }
	})
	soledadtest.TestShared(t, func(t *testing.T) soledad.Shared { return s.DB(t, "soledad").Shared() })
}

// queue is the incoming queues of all users.
type queue struct{ dbs *couch.UserDBs }

func (q queue) AddIncoming(ctx context.Context, userID string, in record.Incoming) error {
	return q.dbs.Open(userID).AddIncoming(ctx, in)
}

func TestForMX(t *testing.T) {
	t.Parallel()
	_, s := setup(t)
	mxtest.Test(t, func(t *testing.T) (mx.Queue, func(string) []record.Incoming) {
		const id = "11111111111111111111111111111111"
		check(t, "creating", s.DB(t, "tapicero").UserDBs().Create(t.Context(), id))
		db := s.DB(t, "soledad").UserDBs()
		return queue{s.DB(t, "leap_mx").UserDBs()}, func(user string) []record.Incoming {
			list, err := db.Open(user).Incoming(t.Context(), 100)
			check(t, "listing", err)
			for i := range list {
				list[i].Body, err = db.Open(user).IncomingBody(t.Context(), list[i].ID)
				check(t, "reading", err)
			}
			return list
		}
	})
}
