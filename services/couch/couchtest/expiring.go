package couchtest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"leap.example/services/protocol/problem"
)

func (s Server) tokens(t *testing.T) {
	ctx := limited(t)
	webapp, soledad := s.DB(t, "webapp").Tokens(), s.DB(t, "soledad").Tokens()
	user, other := random(), random()
	var mine []string
	for range 3 {
		token := random()
		mine = append(mine, token)
		ok(t, "creating a token", webapp.Create(ctx, token, user))
	}
	theirs := random()
	ok(t, "creating a token", webapp.Create(ctx, theirs, other))
	got, err := soledad.User(ctx, mine[0])
	ok(t, "asking for the user", err)
	if got != user {
		t.Errorf("the token is of %q, want %q", got, user)
	}
	is(t, "an unknown token", second(soledad.User(ctx, random())), problem.Unauthenticated)
	ok(t, "deleting a token", webapp.Delete(ctx, mine[0]))
	ok(t, "deleting it again", webapp.Delete(ctx, mine[0]))
	is(t, "a deleted token", second(soledad.User(ctx, mine[0])), problem.Unauthenticated)
	ok(t, "another token", second(soledad.User(ctx, mine[1])))
	ok(t, "deleting all tokens of the user", webapp.DeleteUser(ctx, user))
	for _, token := range mine {
		is(t, "a deleted token", second(webapp.User(ctx, token)), problem.Unauthenticated)
	}
	ok(t, "the token of another user", second(webapp.User(ctx, theirs)))
}

func (s Server) sessions(t *testing.T) {
	ctx := limited(t)
	one, two := s.DB(t, "webapp").Sessions(), s.DB(t, "webapp").Sessions()
	id := random()
	ok(t, "storing a session", one.Put(ctx, id, []byte("data"), time.Now().Add(time.Minute)))
	is(t, "the same id", one.Put(ctx, id, []byte("other"), time.Now().Add(time.Minute)), problem.Exist)
	results := make([]string, 4)
	good, _ := count(t, "taking one session", together(4, func(i int) error {
		st := one
		if i%2 == 0 {
			st = two
		}
		data, err := st.Take(ctx, id)
		results[i] = string(data)
		return err
	}), problem.NotExist)
	if good != 1 || fmt.Sprint(results) != fmt.Sprint(single(results, "data")) {
		t.Errorf("%d of four callers took the session: %q", good, results)
	}
	is(t, "taking it again", second(one.Take(ctx, id)), problem.NotExist)
	is(t, "taking an unknown one", second(one.Take(ctx, random())), problem.NotExist)
	late := random()
	ok(t, "storing a session", one.Put(ctx, late, nil, time.Now().Add(-time.Second)))
	is(t, "taking an expired one", second(one.Take(ctx, late)), problem.NotExist)
}

// single returns list with want at the place of the only value that is there.
func single(list []string, want string) []string {
	out := make([]string, len(list))
	for i, v := range list {
		if v != "" {
			out[i] = want
		}
	}
	return out
}

func (s Server) invites(t *testing.T) {
	ctx := limited(t)
	st := s.DB(t, "webapp").Invites()
	code := random()[:4] + "-" + random()[:4]
	const uses = 3
	ok(t, "creating an invite code", st.Create(ctx, code, uses, time.Time{}))
	is(t, "creating it again", st.Create(ctx, code, 1, time.Time{}), problem.Exist)
	is(t, "a malformed code", st.Create(ctx, "_x", 1, time.Time{}), problem.Invalid)
	is(t, "no use", st.Create(ctx, random(), 0, time.Time{}), problem.Invalid)
	errs := together(6, func(int) error { return st.Use(ctx, code) })
	for i, err := range errs { // So many at once may have to come back.
		if errors.Is(err, problem.Unavailable) {
			errs[i] = st.Use(ctx, code)
		}
	}
	good, _ := count(t, "using the code", errs, problem.Limit)
	if good != uses {
		t.Errorf("the code was used %d times, want %d", good, uses)
	}
	is(t, "one use too many", st.Use(ctx, code), problem.Limit)
	is(t, "an unknown code", st.Use(ctx, random()), problem.NotExist)
}
