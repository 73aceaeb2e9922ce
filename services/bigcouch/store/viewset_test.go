package store

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var testView = ViewID{1, 2, 0xff, 4, 5, 6, 7, 8}

// viewContent writes the rows of a view in order.
func viewContent(t *testing.T, s *Store, in Span) string {
	t.Helper()
	v := s.View()
	defer v.Close()
	var b strings.Builder
	for r, err := range v.ViewRows(testDB, testView, in) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s=%s:%s ", r.ID, r.Key, r.Value)
	}
	return strings.TrimSpace(b.String())
}

func emit(order, value string) Emit { return Emit{[]byte(order), []byte(order), []byte(value)} }

func TestWriteView(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer s.Close()
	v := s.View()
	defer v.Close()
	if _, err := s.WriteView(v, testDB, testView, ViewState{}, ViewState{Seq: 1}, nil); !errors.Is(err, ErrViewMoved) {
		t.Errorf("rows of a database that is not open: %v", err)
	}
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}})
	write := func(from, to ViewState, changes ...ViewChange) ViewState {
		t.Helper()
		now, err := s.WriteView(v, testDB, testView, from, to, changes)
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	now := write(ViewState{}, ViewState{Seq: 3},
		ViewChange{"b", []Emit{emit("k", "1"), emit("k", "2"), emit("a", "3")}}, ViewChange{"a", []Emit{emit("k", "4")}}, ViewChange{"a\x00", []Emit{emit("k", "5")}}, ViewChange{"none", nil})
	if got, want := viewContent(t, s, Span{}), "b=a:3 a=k:4 a\x00=k:5 b=k:1 b=k:2"; got != want || now != (ViewState{Seq: 3, Rows: 5}) {
		t.Errorf("rows %q, want %q; state %v", got, want, now)
	}
	if _, err := s.WriteView(v, testDB, testView, ViewState{}, ViewState{Seq: 4}, nil); !errors.Is(err, ErrViewMoved) {
		t.Errorf("rows from another state: %v", err)
	}
	now = write(now, ViewState{Seq: 5, Purged: 1}, ViewChange{"b", []Emit{emit("k", "6")}}, ViewChange{"a", nil}, ViewChange{"c", nil})
	if got, want := viewContent(t, s, Span{}), "a\x00=k:5 b=k:6"; got != want || now != (ViewState{Seq: 5, Purged: 1, Rows: 2}) {
		t.Errorf("rows %q, want %q; state %v", got, want, now)
	}
	if got, want := viewContent(t, s, Span{Start: ViewPlace([]byte("k"), "b"), Descending: true}), "b=k:6"; got != want {
		t.Errorf("from b: %q, want %q", got, want)
	}
	if err := s.DropViews(testDB, map[ViewID]bool{testView: true}); err != nil || viewContent(t, s, Span{}) == "" {
		t.Errorf("what is to be kept was dropped; %v", err)
	}
	if err := s.DropViews(testDB, nil); err != nil || viewContent(t, s, Span{}) != "" {
		t.Errorf("what is to be dropped was kept; %v", err)
	}
	write(ViewState{}, ViewState{Seq: 1}, ViewChange{"a", []Emit{emit("k", "1")}})
	if err := s.DropView(testDB, testView); err != nil {
		t.Fatal(err)
	}
	write(ViewState{}, ViewState{Seq: 1}, ViewChange{"a", []Emit{emit("k", "1")}})
	commit(t, s, Entry{Cmd: DropDatabase{DB: testDB.ID}})
	s.installs.note(testDB.Shard + 1) // Of another shard: this view is as good as before.
	if _, err := v.Info(testDB); err != nil {
		t.Errorf("after another shard was replaced: %v", err)
	}
	s.installs.note(testDB.Shard)
	if _, err := s.WriteView(v, testDB, testView, ViewState{}, ViewState{Seq: 1}, nil); !errors.Is(err, errStale) {
		t.Errorf("rows of a shard that was replaced: %v", err)
	}
	after := s.View()
	defer after.Close()
	start, end := testDB.place().span(kindView)
	err := after.each(start, end, func(key, _ []byte) (bool, error) {
		t.Errorf("row %q of a dropped database", key)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Malformed rows of a view are errors and no panics, and what is written is
// read.
func FuzzViewRow(f *testing.F) {
	f.Add([]byte("\x03\"k\"\x01a1"), []byte("\x02\x01a\x01b"), []byte("\x01\x02\x03"))
	f.Add([]byte{0xff}, []byte{0xff, 0xff}, []byte{0x80})
	f.Fuzz(func(t *testing.T, rowData, placeData, stateData []byte) {
		if r, err := parseViewRow([]byte("at"), rowData); err == nil {
			again, err := parseViewRow([]byte("at"), encodeViewRow(r.ID, Emit{Key: r.Key, Value: r.Value}))
			if err != nil || !reflect.DeepEqual(r, again) {
				t.Errorf("row %v, then %v, %v", r, again, err)
			}
		}
		if p, err := parsePlaces(string(placeData)); err == nil {
			again, err := parsePlaces(string(encodePlaces(p)))
			if err != nil || !reflect.DeepEqual(p, again) {
				t.Errorf("places %v, then %v, %v", p, again, err)
			}
		}
		if s, err := parseViewState(string(stateData)); err == nil {
			if again, err := parseViewState(string(s.encode())); err != nil || s != again {
				t.Errorf("state %v, then %v, %v", s, again, err)
			}
		}
	})
}
