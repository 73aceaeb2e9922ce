package couchtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/srp"
)

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func newUser(login string) *record.User {
	kdf := srp.DefaultKDF()
	now := time.Now().UTC().Truncate(time.Second)
	return &record.User{
		ID: random(), Login: login, Suite: "srp-3072", KDF: &kdf, PasswordSalt: "aa", PasswordVerifier: "bb",
		Enabled: true, ServiceLevel: "1", CreatedAt: now, UpdatedAt: now,
	}
}

func (s Server) users(t *testing.T) {
	ctx := limited(t)
	st := s.DB(t, "webapp").Users()
	u := newUser("joe-" + random())
	ok(t, "creating an account", st.Create(ctx, u))
	if u.Rev == "" || u.Type != "User" {
		t.Errorf("created %+v", u)
	}
	is(t, "the same id", st.Create(ctx, newCopy(u)), problem.Exist)
	byID, err := st.ByID(ctx, u.ID)
	ok(t, "by id", err)
	same(t, "by id", byID, u)
	byLogin, err := st.ByLogin(ctx, u.Login)
	ok(t, "by login", err)
	same(t, "by login", byLogin, u)
	is(t, "no such id", second(st.ByID(ctx, random())), problem.NotExist)
	is(t, "a strange id", second(st.ByID(ctx, "_all_docs")), problem.NotExist)
	is(t, "no such login", second(st.ByLogin(ctx, random())), problem.NotExist)

	old := newCopy(u)
	u.Enabled = false
	ok(t, "updating", st.Update(ctx, u))
	is(t, "updating what was changed", st.Update(ctx, old), problem.Stale)
	good, _ := count(t, "two updates at once", together(2, func(int) error { return st.Update(ctx, newCopy(u)) }), problem.Stale)
	if good != 1 {
		t.Errorf("%d of two updates of one revision succeeded", good)
	}
	ids, err := st.IDs(ctx)
	ok(t, "ids", err)
	if !slices.Contains(ids, u.ID) {
		t.Errorf("%s is not among the ids %v", u.ID, ids)
	}
	ok(t, "deleting", st.Delete(ctx, u.ID))
	is(t, "deleting again", st.Delete(ctx, u.ID), problem.NotExist)
	is(t, "by id when deleted", second(st.ByID(ctx, u.ID)), problem.NotExist)
	is(t, "by login when deleted", second(st.ByLogin(ctx, u.Login)), problem.NotExist)
}

func newCopy(u *record.User) *record.User {
	c := *u
	return &c
}

func (s Server) search(t *testing.T) {
	ctx := limited(t)
	st := s.DB(t, "webapp").Users()
	p := random()
	want := []string{p + "-a", p + ".b", p + "0", p + "_c", p + "d", p + "e"}
	for _, login := range slices.Backward(want) {
		ok(t, "creating an account", st.Create(ctx, newUser(login)))
	}
	got, err := st.Search(ctx, p, 10)
	ok(t, "search", err)
	same(t, "sorted by bytes", got, want)
	got, err = st.Search(ctx, p, 2)
	ok(t, "search", err)
	same(t, "limited", got, want[:2])
	got, err = st.Search(ctx, p+"_", 10)
	ok(t, "search", err)
	same(t, "a longer prefix", got, want[3:4])
	got, err = st.Search(ctx, random(), 10)
	ok(t, "search", err)
	same(t, "nothing", got, []string{})
}

var errEnough = errors.New("enough")

func (s Server) followUsers(t *testing.T) {
	ctx := limited(t)
	webapp, tapicero := s.DB(t, "webapp").Users(), s.DB(t, "tapicero").Users()
	first, second := newUser(random()), newUser(random())
	ok(t, "creating an account", webapp.Create(ctx, first))
	var since string
	until := func(id string, gone bool) {
		t.Helper()
		err := tapicero.Follow(ctx, since, func(got string, deleted bool, seq string) error {
			since = seq
			if got == id && deleted == gone {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Fatalf("following until %s, deleted %v: %v", id, gone, err)
		}
	}
	until(first.ID, false)
	made := make(chan error, 1)
	go func() { made <- errors.Join(webapp.Create(ctx, second), webapp.Delete(ctx, first.ID)) }()
	until(second.ID, false)
	until(first.ID, true)
	ok(t, "creating and deleting meanwhile", <-made)
	t.Run("from an unknown sequence", func(t *testing.T) { s.followUnknown(t, second.ID) })
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := tapicero.Follow(short, since, func(string, bool, string) error { return nil }); short.Err() == nil {
		t.Errorf("following ended with %v before its context", err)
	}
}

// followUnknown follows from a sequence that the database does not know: from
// the beginning.
func (s Server) followUnknown(t *testing.T, id string) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout/4)
	defer cancel()
	err := s.DB(t, "tapicero").Users().Follow(ctx, "not-a-sequence", func(got string, _ bool, _ string) error {
		if got == id {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("an account that is there does not come: %v", err)
	}
}

func (s Server) identities(t *testing.T) {
	ctx := limited(t)
	st := s.DB(t, "webapp").Identities()
	user, local := random(), "l"+random()
	v4, v6 := random()+random()[:8], random()+random()
	one := &record.Identity{
		UserID: user, Address: local + "@example.org", Destination: local + "@example.org", Enabled: true,
		Keys: map[string]record.Key{"openpgp": {Type: "openpgp", Value: "armor", Rev: "r"}}, Fingerprint: v4, WKD: random(),
	}
	two := &record.Identity{UserID: user, Address: "x." + local + "@example.org", Fingerprint: v6, WKD: random()}
	ok(t, "claiming", st.Create(ctx, one))
	ok(t, "claiming", st.Create(ctx, two))
	good, _ := count(t, "claiming one address", together(4, func(int) error {
		return st.Create(ctx, &record.Identity{UserID: random(), Address: "race" + one.Address})
	}), problem.Exist)
	if good != 1 {
		t.Errorf("%d of four callers got the address", good)
	}
	is(t, "claiming again", st.Create(ctx, &record.Identity{Address: one.Address}), problem.Exist)
	is(t, "an address that has no id", st.Create(ctx, &record.Identity{Address: "_local@x"}), problem.Invalid)
	is(t, "an address that has no id", second(st.ByAddress(ctx, "_design/x@y")), problem.NotExist)
	is(t, "no such address", second(st.ByAddress(ctx, "none@example.org")), problem.NotExist)
	for what, find := range map[string]func() (*record.Identity, error){
		"address":     func() (*record.Identity, error) { return st.ByAddress(ctx, nick.Address(two.Address)) },
		"fingerprint": func() (*record.Identity, error) { return st.ByFingerprint(ctx, v6) },
		"key id":      func() (*record.Identity, error) { return st.ByFingerprint(ctx, v6[:16]) },
		"wkd":         func() (*record.Identity, error) { return st.ByWKD(ctx, two.WKD) },
	} {
		got, err := find()
		ok(t, "by "+what, err)
		same(t, "by "+what, got, two)
	}
	got, err := st.ByFingerprint(ctx, v4[24:])
	ok(t, "by the key id of version 4", err)
	same(t, "by the key id of version 4", got, one)
	is(t, "no such fingerprint", second(st.ByFingerprint(ctx, random()+random()[:8])), problem.NotExist)
	is(t, "no fingerprint", second(st.ByFingerprint(ctx, "")), problem.NotExist)
	three := &record.Identity{UserID: random(), Address: "y." + local + "@example.org", Fingerprint: v6[:16] + random() + random()[:16]}
	ok(t, "claiming", st.Create(ctx, three))
	is(t, "a key id of two keys", second(st.ByFingerprint(ctx, v6[:16])), problem.NotExist)

	list, err := st.ByUser(ctx, user)
	ok(t, "by user", err)
	if len(list) != 2 {
		t.Errorf("%d identities of the user, want 2", len(list))
	}
	old := *one
	one.CertFingerprints = map[string]string{"aa:bb": "2030-01-01"}
	ok(t, "updating", st.Update(ctx, one))
	is(t, "updating what was changed", st.Update(ctx, &old), problem.Stale)
	is(t, "deleting what was changed", st.Delete(ctx, &old), problem.Stale)
	ok(t, "freeing", st.Delete(ctx, one))
	ok(t, "freeing again", st.Delete(ctx, one))
	is(t, "a freed address", second(st.ByAddress(ctx, "none@example.org")), problem.NotExist)
	ok(t, "claiming a freed address", st.Create(ctx, &record.Identity{Address: one.Address}))
}
