package audit_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"leap.example/tests/couchfaults/audit"
)

func TestStill(t *testing.T) {
	seq := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"update_seq":"%d-x"}`, seq)
	}))
	defer s.Close()
	a := audit.New([]string{s.URL, s.URL}, "", "")
	defer a.Close()
	wrong := errors.New("wrong")
	for _, tt := range []struct {
		name           string
		late, wrongFor int // How many judgements meet a write, and how many find something wrong.
		asked          int
		want           error
	}{
		{"right", 0, 0, 1, nil},
		{"right beside a late write", 1, 0, 1, nil},
		{"wrong beside a late write", 1, 1, 2, nil},
		{"wrong beside two", 2, 2, 3, nil},
		{"wrong", 0, 1, 1, wrong},
		{"wrong beside a late write and without", 1, 2, 2, wrong},
		{"always written to", 1000, 1000, 10, wrong},
	} {
		asked := 0
		err := a.Still(t.Context(), "db", func() error {
			if asked++; asked <= tt.late {
				seq++
			}
			if asked <= tt.wrongFor {
				return wrong
			}
			return nil
		})
		if !errors.Is(err, tt.want) || asked != tt.asked {
			t.Errorf("%s: %v after %d judgements, want %v after %d", tt.name, err, asked, tt.want, tt.asked)
		}
	}
}
