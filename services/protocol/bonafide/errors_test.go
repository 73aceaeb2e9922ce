package bonafide_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
)

func TestNames(t *testing.T) {
	for login, ok := range map[string]bool{
		"al": true, "alice": true, "a.l-i_c3": true, strings.Repeat("a", 64): true,
		"": false, "a": false, "Alice": false, "1al": false, "al.": false, "al-": false, "a b": false,
		"a..b": false, "äb": false, "al@b": false, ".al": false, strings.Repeat("a", 65): false,
	} {
		if err := bonafide.ValidLogin(login); (err == nil) != ok || err != nil && !errors.Is(err, problem.Invalid) {
			t.Errorf("ValidLogin(%q) = %v", login, err)
		}
	}
	for login, want := range map[string]bool{"postmaster": true, "abuse": true, "help-tickets": true, "root": true, "alice": false, "": false} {
		if got := bonafide.Reserved(login); got != want {
			t.Errorf("Reserved(%q) = %v", login, got)
		}
	}
}

func TestTokenHeader(t *testing.T) {
	for header, want := range map[string]string{
		bonafide.TokenHeader("Ab-_9="): "Ab-_9=",
		`Token token=Ab9`:              "Ab9",
		`token TOKEN="x"`:              "x",
		`Token token=""`:               "",
		`Token token="x`:               "",
		`Token token=x"`:               "",
		`Token token=a,b`:              "",
		`Token token=a b`:              "",
		`Bearer x`:                     "",
		``:                             "",
		`Token token="` + strings.Repeat("a", 512) + `"`: "",
	} {
		got, ok := bonafide.ParseTokenHeader(header)
		if ok != (want != "") || ok && got != want {
			t.Errorf("ParseTokenHeader(%.40q) = %q, %v; want %q", header, got, ok, want)
		}
	}
}

// TestErrorsCrossTheWire: what the server means is what the client reads.
func TestErrorsCrossTheWire(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		body   string
		kind   problem.Kind
	}{
		{bonafide.WrongPassword(), 422, `{"errors":{"base":"Not a valid username/password combination"}}`, problem.Unauthenticated},
		{fmt.Errorf("login: %w", bonafide.FieldErrors{"login": {bonafide.Taken}}), 422, `{"errors":{"login":["has already been taken"]}}`, problem.Exist},
		{bonafide.FieldErrors{"a": {"x", "y"}}, 422, `{"errors":{"a":["x","y"]}}`, problem.Invalid},
		{problem.Invalid.Errorf("no"), 422, `{"errors":{"base":["no"]}}`, problem.Invalid},
		{problem.Unauthenticated.Errorf("x"), 401, `{"error":"not_authorized_login","message":"Please log in to perform that action."}`, problem.Unauthenticated},
		{problem.Permission, 403, `{"error":"not_authorized","message":"Sorry, but you are not authorized to perform that action."}`, problem.Permission},
		{problem.NotExist.Errorf("no such user"), 404, `{"error":"not_found","message":"no such user"}`, problem.NotExist},
		{problem.Limit.Errorf("slow down"), 429, `{"error":"limit","message":"slow down"}`, problem.Limit},
		{problem.Unavailable, 503, `{"error":"unavailable","message":"Please try again later."}`, problem.Unavailable},
		{errors.New("disk"), 500, `{"error":"The server failed to process your request. (Internal)"}`, problem.Internal},
	} {
		status, body := bonafide.ErrorOf(tt.err)
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if status != tt.status || string(data) != tt.body {
			t.Errorf("%v: got %d %s\nwant %d %s", tt.err, status, data, tt.status, tt.body)
		}
		if got := bonafide.ParseError(status, data); problem.KindOf(got) != tt.kind {
			t.Errorf("%v: client reads %v, want %v", tt.err, got, tt.kind)
		}
	}
	if l, ok := errors.AsType[*bonafide.LoginError](bonafide.ParseError(422, []byte(`{"errors":{"login":"Could not"}}`))); !ok || l.Field != "login" {
		t.Errorf("login error: %v", l)
	}
	for _, tt := range []struct {
		status int
		body   string
		want   problem.Kind
	}{
		{403, "", problem.Permission},
		{422, `{"errors":{}}`, problem.Invalid},
		{422, `{"errors":{"x":7}}`, problem.Invalid},
		{502, "<html>", problem.Unavailable},
		{409, `{"type":"stale","detail":"read again"}`, problem.Stale},
		{422, `{"error":"wrong revision: R"}`, problem.Invalid},
	} {
		if got := problem.KindOf(bonafide.ParseError(tt.status, []byte(tt.body))); got != tt.want {
			t.Errorf("%d %s: %v, want %v", tt.status, tt.body, got, tt.want)
		}
	}
}

// FuzzParseError: every answer becomes an error with a kind.
func FuzzParseError(f *testing.F) {
	f.Add(422, []byte(`{"errors":{"login":["has already been taken"]}}`))
	f.Add(500, []byte(`{}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if err := bonafide.ParseError(status, body); err == nil || problem.KindOf(err) == "" {
			t.Errorf("%d %s: %v", status, body, err)
		}
	})
}

// FuzzParseTokenHeader: an accepted token survives.
func FuzzParseTokenHeader(f *testing.F) {
	f.Add(`Token token="x"`)
	f.Add(`Token token=x`)
	f.Fuzz(func(t *testing.T, header string) {
		token, ok := bonafide.ParseTokenHeader(header)
		if !ok {
			return
		}
		if again, ok := bonafide.ParseTokenHeader(bonafide.TokenHeader(token)); len(token) < 400 && (!ok || again != token) {
			t.Errorf("%q becomes %q", token, again)
		}
	})
}
