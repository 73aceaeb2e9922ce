package couch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/couch"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// month is the time of one pair of token databases.
const month = 2592000 * time.Second

func TestRotationNames(t *testing.T) {
	for _, tt := range []struct {
		time            string
		present, former string
	}{
		{"2017-09-28T12:00:00Z", "tokens_581", ""},
		{"2025-11-23T00:00:00Z", "tokens_680", ""},
		{"1970-02-01T00:00:00Z", "tokens_1", ""},
		{"1970-01-31T00:00:00Z", "tokens_1", "tokens_0"},
		{"1970-01-30T23:59:59Z", "tokens_0", ""},
	} {
		at, err := time.Parse(time.RFC3339, tt.time)
		check(t, tt.time, err)
		if present, former := couch.Rotation("tokens", at); present != tt.present || former != tt.former {
			t.Errorf("%s: %q, %q; want %q, %q", tt.time, present, former, tt.present, tt.former)
		}
	}
}

// rotated returns the databases of tokens.
func rotated(t *testing.T, db *couch.DB) (out []string) {
	t.Helper()
	all, err := couch.Databases(t.Context(), db)
	check(t, "listing", err)
	for _, name := range all {
		if strings.HasPrefix(name, "tokens_") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func TestRotate(t *testing.T) {
	t.Parallel()
	s := newNode(t).server()
	admin, webapp := s.DB(t, "admin"), s.DB(t, "webapp")
	ctx := t.Context()
	start := time.Unix(700*int64(month/time.Second), 0)
	c := &clock{start.Add(2 * 24 * time.Hour)}
	couch.SetNow(admin, c.now)
	couch.SetNow(webapp, c.now)
	check(t, "setup", admin.Setup(ctx))
	check(t, "a token", webapp.Tokens().Create(ctx, "old", user))
	for _, step := range []struct {
		after time.Duration // Since the beginning of period 700.
		want  []string
	}{
		{2 * 24 * time.Hour, []string{"tokens_700"}},
		{month - 25*time.Hour, []string{"tokens_700"}},
		{month - 23*time.Hour, []string{"tokens_700", "tokens_701"}},
		{month + time.Hour, []string{"tokens_700", "tokens_701"}},
		{month + 23*time.Hour, []string{"tokens_700", "tokens_701"}},
		{month + 25*time.Hour, []string{"tokens_701"}},
		{5 * month, []string{"tokens_705"}}, // Nobody was there for long.
	} {
		c.Time = start.Add(step.after)
		check(t, "rotating", admin.Rotate(ctx, c.Time))
		check(t, "rotating again", admin.Rotate(ctx, c.Time))
		if diff := cmp.Diff(step.want, rotated(t, admin)); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", step.after, diff)
		}
	}
}

// A user who is active while the databases change stays logged in.
func TestTokensOverTheChange(t *testing.T) {
	t.Parallel()
	_, s := setup(t)
	admin, webapp := s.DB(t, "admin"), s.DB(t, "webapp")
	ctx := t.Context()
	c := &clock{time.Unix(701*int64(month/time.Second), 0).Add(-30 * time.Minute)}
	couch.SetNow(admin, c.now)
	couch.SetNow(webapp, c.now)
	st := webapp.Tokens()
	check(t, "rotating", admin.Rotate(ctx, c.Time))
	for _, token := range []string{"active", "idle", "deleted"} {
		check(t, "a token", st.Create(ctx, token, user))
	}
	check(t, "a session", webapp.Sessions().Put(ctx, "session", []byte("x"), c.Add(time.Hour)))
	ask := func(token string, want error) {
		t.Helper()
		if id, err := st.User(ctx, token); !errors.Is(err, want) || want == nil && id != user {
			t.Errorf("%v, token %s: %q, %v; want %v", c.Time, token, id, err, want)
		}
	}
	c.Time = c.Add(40 * time.Minute) // In the new month.
	check(t, "rotating", admin.Rotate(ctx, c.Time))
	ask("active", nil)
	ask("deleted", nil)
	check(t, "deleting a token", st.Delete(ctx, "deleted"))
	ask("deleted", problem.Unauthenticated)
	if _, err := webapp.Sessions().Take(ctx, "session"); err != nil {
		t.Errorf("a session over the change: %v", err)
	}
	c.Time = c.Add(25 * time.Minute)
	ask("idle", problem.Unauthenticated)
	ask("active", nil)
	for range 30 {
		c.Time = c.Add(50 * time.Minute)
		check(t, "rotating", admin.Rotate(ctx, c.Time))
		ask("active", nil)
	}
	check(t, "deleting all tokens of the user", st.DeleteUser(ctx, user))
	ask("active", problem.Unauthenticated)
}

// In the first day of a month a new provider has no former databases, and
// before Setup it has none at all.
func TestDatabasesThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := newNode(t).server()
	admin, webapp := s.DB(t, "admin"), s.DB(t, "webapp")
	ctx := t.Context()
	c := &clock{time.Unix(701*int64(month/time.Second)+3600, 0)}
	couch.SetNow(admin, c.now)
	couch.SetNow(webapp, c.now)
	ask := func(want, login error) {
		t.Helper()
		for what, err := range map[string]error{
			"a token":   second(webapp.Tokens().User(ctx, "x")),
			"a session": second(webapp.Sessions().Take(ctx, "x")),
			"a login":   second(webapp.Users().ByLogin(ctx, "joe")),
		} {
			if w := map[bool]error{true: login, false: want}[what != "a token"]; !errors.Is(err, w) {
				t.Errorf("%s: %v, want %v", what, err, w)
			}
		}
	}
	ask(problem.Unavailable, problem.Unavailable)
	check(t, "setup", admin.Setup(ctx))
	ask(problem.Unauthenticated, problem.NotExist)
	check(t, "a token", webapp.Tokens().Create(ctx, "x", user))
	check(t, "deleting a token", webapp.Tokens().Delete(ctx, "x"))
	check(t, "deleting all tokens", webapp.Tokens().DeleteUser(ctx, user))
}

func TestTokenIsTouchedOncePerMinute(t *testing.T) {
	t.Parallel()
	n, s := setup(t)
	p := newProxy(t, n)
	s.URLs = []string{p.url()}
	db := s.DB(t, "soledad")
	ctx := t.Context()
	c := &clock{time.Now().UTC().Truncate(time.Hour)}
	couch.SetNow(db, c.now)
	st := db.Tokens()
	check(t, "a token", st.Create(ctx, "token", user))
	var mu sync.Mutex
	puts := 0
	p.with(func(r *http.Request) fault {
		mu.Lock()
		defer mu.Unlock()
		if writes(r) {
			puts++
		}
		return none
	})
	for range 12 {
		c.Time = c.Add(20 * time.Second)
		if _, err := st.User(ctx, "token"); err != nil {
			t.Fatal(err)
		}
	}
	if puts != 4 {
		t.Errorf("in four minutes it was touched %d times", puts)
	}
	c.Time = c.Add(61 * time.Minute)
	if _, err := st.User(ctx, "token"); !errors.Is(err, problem.Unauthenticated) {
		t.Errorf("an idle token: %v", err)
	}
}

// What expires is removed, and what a crash has left.
func TestSweep(t *testing.T) {
	t.Parallel()
	_, s := setup(t)
	admin, webapp, relay := s.DB(t, "admin"), s.DB(t, "webapp"), s.DB(t, "relay")
	ctx := t.Context()
	now := time.Now()
	for i := range 5 {
		check(t, "a token", webapp.Tokens().Create(ctx, fmt.Sprint("token", i), user))
		check(t, "a session", webapp.Sessions().Put(ctx, fmt.Sprint("session", i), nil, now.Add(time.Minute)))
	}
	out := relay.Outbound()
	row := record.OutboundRow{ID: "r1", Message: "m1", NextAttempt: now}
	check(t, "a message", out.Add(ctx, record.OutboundMessage{ID: "m1", CreatedAt: now.Add(-48 * time.Hour)}, []record.OutboundRow{row}))
	// A row that cannot be stored leaves its message.
	err := out.Add(ctx, record.OutboundMessage{ID: "m2", CreatedAt: now.Add(-48 * time.Hour)}, []record.OutboundRow{
		{ID: "r2", Message: "m2", Sealed: strings.Repeat("x", 9_000_000)},
	})
	if err == nil {
		t.Error("a huge row was stored")
	}
	present, _ := couch.Rotation("tokens", now)
	sessions, _ := couch.Rotation("sessions", now)
	left := func(at time.Time) (tokens, handshakes int) {
		t.Helper()
		check(t, "rotating", admin.Rotate(ctx, at))
		return couch.Count(ctx, admin, present), couch.Count(ctx, admin, sessions)
	}
	if tokens, handshakes := left(now); tokens != 5 || handshakes != 5 {
		t.Errorf("at once there are %d tokens and %d sessions", tokens, handshakes)
	}
	if tokens, handshakes := left(now.Add(2 * time.Hour)); tokens != 0 || handshakes != 0 {
		t.Errorf("later there are %d tokens and %d sessions", tokens, handshakes)
	}
	if _, err := out.Message(ctx, "m1"); err != nil {
		t.Errorf("a message with a row: %v", err)
	}
	if _, err := out.Message(ctx, "m2"); !errors.Is(err, problem.NotExist) {
		t.Errorf("a message without rows: %v", err)
	}
}

func TestKeeperWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	s := n.server()
	n.stop()
	db := s.DB(t, "admin")
	var log bytes.Buffer
	k := couch.NewKeeper(db, slog.New(slog.NewTextHandler(&log, nil)))
	if k.Check(t.Context()) == nil {
		t.Error("Check succeeds before Run")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	eventually(t, "Setup fails", func() bool {
		err := k.Check(ctx)
		return errors.Is(err, problem.Unavailable)
	})
	n.start()
	eventually(t, "Setup succeeds", func() bool { return k.Check(ctx) == nil })
	if _, err := s.DB(t, "webapp").Users().ByID(ctx, user); !errors.Is(err, problem.NotExist) {
		t.Errorf("after Setup: %v", err)
	}
	cancel()
	check(t, "Run", <-ended)
	if !strings.Contains(log.String(), "not in order yet") {
		t.Errorf("the log says nothing: %s", log.String())
	}
}
