package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	for _, k := range kinds {
		t.Run(string(k), func(t *testing.T) {
			err := fmt.Errorf("reading /perm/x: %w", k.Errorf("no %s today", "bread"))
			body, _ := json.Marshal(DocumentOf(err))
			got := Parse(k.Status(), body)
			if !errors.Is(got, k) || KindOf(got) != k {
				t.Errorf("Parse(%d, %s) = %v of kind %q, want %q", k.Status(), body, got, KindOf(got), k)
			}
			if want := "no bread today"; k != Internal && got.Error() != want {
				t.Errorf("text = %q, want %q", got, want)
			}
		})
	}
}

func TestParseForeign(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   Kind
	}{
		{404, "<html>", NotExist},
		{409, "{}", Stale},
		{418, `{"type":"teapot","detail":"/perm"}`, Invalid},
		{504, "", Unavailable},
		{500, `{"error":"The server failed"}`, Internal},
	} {
		if got := KindOf(Parse(tt.status, []byte(tt.body))); got != tt.want {
			t.Errorf("Parse(%d, %q) = %q, want %q", tt.status, tt.body, got, tt.want)
		}
	}
}

func TestDocumentHidesPlainErrors(t *testing.T) {
	if got := DocumentOf(errors.New("secret")); got != (Document{Type: Internal}) {
		t.Errorf("got %+v", got)
	}
}
