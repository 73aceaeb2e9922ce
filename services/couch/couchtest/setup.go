package couchtest

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

func (s Server) setup(t *testing.T) {
	ctx := limited(t)
	admins := []interface{ Setup(context.Context) error }{s.DB(t, "admin"), s.DB(t, "tapicero")}
	for _, err := range together(2, func(i int) error { return admins[i].Setup(ctx) }) {
		ok(t, "two setups at once", err)
	}
	ok(t, "setup again", admins[0].Setup(ctx))
	ok(t, "ping", s.DB(t, "webapp").Ping(ctx))
}

// accounts checks that each account opens its databases and no other.
func (s Server) accounts(t *testing.T) {
	ctx := limited(t)
	user := random()
	admin := s.DB(t, "admin")
	ok(t, "creating a user database", admin.UserDBs().Create(ctx, user))
	t.Cleanup(func() {
		if err := admin.UserDBs().Destroy(context.WithoutCancel(ctx), user); err != nil {
			t.Errorf("destroying the user database: %v", err)
		}
	})
	may := map[string][]string{
		"webapp":     {"users", "identities", "tokens", "invites", "tickets", "messages", "certificates", "sessions"},
		"ca":         {"certificates"},
		"nickserver": {"identities"},
		"soledad":    {"tokens", "shared", "user"},
		"leap_mx":    {"identities", "user"},
		"relay":      {"tokens", "identities", "outbound"},
		"agent":      {"nodes"},
	}
	for _, name := range slices.Sorted(maps.Keys(may)) {
		db := s.DB(t, name)
		_, _, errNodes := db.Nodes().Read(ctx, random())
		for what, err := range map[string]error{
			"users":        second(db.Users().ByID(ctx, user)),
			"identities":   second(db.Identities().ByAddress(ctx, "nobody@example.org")),
			"tokens":       second(db.Tokens().User(ctx, random())),
			"invites":      db.Invites().Use(ctx, random()),
			"tickets":      second(db.Tickets().ByID(ctx, random())),
			"messages":     second(db.Messages().ForUser(ctx, user)),
			"certificates": second(db.Certificates().Count(ctx, "")),
			"sessions":     second(db.Sessions().Take(ctx, random())),
			"shared":       second(db.Shared().Get(ctx, random())),
			"nodes":        errNodes,
			"outbound":     second(db.Outbound().Due(ctx, time.Now(), 1)),
			"user":         second(db.UserDBs().Open(user).Incoming(ctx, 1)),
		} {
			denied := err != nil && problem.KindOf(err) == problem.Internal
			if what == "user" { // As if it were not there: it may not be open to us yet.
				denied = problem.KindOf(err) == problem.NotExist
			}
			if want := !slices.Contains(may[name], what); denied != want {
				t.Errorf("%s on %s: %v; denied %v, want %v", name, what, err, denied, want)
			}
		}
		is(t, name+" makes a database", db.UserDBs().Create(ctx, random()), problem.Internal)
		is(t, name+" lists databases", second(db.UserDBs().IDs(ctx)), problem.Internal)
	}
	wrong := s
	wrong.PasswordFile = "/nonexistent"
	is(t, "without password", second(wrong.DB(t, "webapp").Users().ByID(ctx, user)), problem.Unavailable)
}

func second[T any](_ T, err error) error { return err }

func (s Server) state(t *testing.T) {
	ctx := limited(t)
	key := "k" + random()
	for _, service := range []string{"tapicero", "ca", "relay"} {
		st := s.DB(t, service).State(service)
		v, err := st.Get(ctx, key)
		ok(t, "reading a note", err)
		if v != "" {
			t.Errorf("%s: a new note is %q", service, v)
		}
		for _, want := range []string{"first", "second", ""} {
			ok(t, "setting a note", st.Set(ctx, key, want))
			got, err := st.Get(ctx, key)
			ok(t, "reading a note", err)
			if got != want {
				t.Errorf("%s: got %q, want %q", service, got, want)
			}
		}
		is(t, "a malformed key", st.Set(ctx, "a/b", "x"), problem.Invalid)
	}
}

func (s Server) messages(t *testing.T) {
	ctx := limited(t)
	st := s.DB(t, "webapp").Messages()
	alice, bob := random(), random()
	all := record.Message{Text: "to all", Locale: "en"}
	one := record.Message{ID: random(), Text: "to alice", UserIDs: []string{alice}}
	ok(t, "a notice to all", st.Create(ctx, &all))
	ok(t, "a notice to one", st.Create(ctx, &one))
	if all.ID == "" || all.Rev == "" {
		t.Errorf("created %+v", all)
	}
	again := one
	is(t, "the same id", st.Create(ctx, &again), problem.Exist)
	for user, want := range map[string][]string{alice: {all.ID, one.ID}, bob: {all.ID}} {
		list, err := st.ForUser(ctx, user)
		ok(t, "notices of a user", err)
		for _, id := range []string{all.ID, one.ID} {
			has := slices.ContainsFunc(list, func(m record.Message) bool { return m.ID == id })
			if has != slices.Contains(want, id) {
				t.Errorf("user %s has message %s: %v", user, id, has)
			}
		}
	}
}

func (s Server) tickets(t *testing.T) {
	ctx := limited(t)
	st := s.DB(t, "webapp").Tickets()
	ticket := record.Ticket{ID: random()[:8], Subject: "help", Open: true, CreatedAt: time.Now().UTC().Truncate(time.Second)}
	ok(t, "a ticket", st.Create(ctx, &ticket))
	again := ticket
	is(t, "the same id", st.Create(ctx, &again), problem.Exist)
	got, err := st.ByID(ctx, ticket.ID)
	ok(t, "reading the ticket", err)
	same(t, "the ticket", *got, ticket)
	got.Comments = append(got.Comments, record.Comment{Body: "hello"})
	ok(t, "a comment", st.Update(ctx, got))
	is(t, "a stale ticket", st.Update(ctx, &ticket), problem.Stale)
	is(t, "no ticket", second(st.ByID(ctx, random())), problem.NotExist)
	is(t, "no id", second(st.ByID(ctx, "_design/x")), problem.NotExist)
}
