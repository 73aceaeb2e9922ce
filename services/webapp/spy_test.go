package webapp_test

import (
	"context"
	"time"

	"leap.example/services/webapp"
)

// spySessions notes when sessions expire.
func spySessions(expires *time.Time) func(webapp.Stores) webapp.Stores {
	return func(st webapp.Stores) webapp.Stores {
		st.Sessions = sessionSpy{st.Sessions, expires}
		return st
	}
}

type sessionSpy struct {
	webapp.Sessions
	expires *time.Time
}

func (s sessionSpy) Put(ctx context.Context, id string, data []byte, expires time.Time) error {
	*s.expires = expires
	return s.Sessions.Put(ctx, id, data, expires)
}
