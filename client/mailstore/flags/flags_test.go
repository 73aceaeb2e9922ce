package flags_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leap.example/client/mailstore/flags"
)

func TestDeletionRules(t *testing.T) {
	start := flags.New("a", "body", "trash", nil)
	for _, tt := range []struct {
		name    string
		a, b    func(flags.State) flags.State
		present bool
		box     string
	}{
		{"expunge against flags", expunge, func(s flags.State) flags.State { return s.Set("b", []string{flags.Flagged}, nil) }, false, "trash"},
		{"expunge against a move out of the trash", expunge, func(s flags.State) flags.State { return s.Move("b", "inbox") }, true, "inbox"},
		{"expunge against a move into the trash", expunge, func(s flags.State) flags.State { return s.Discard("b", "trash") }, false, "trash"},
		{"expunge against expunge", expunge, func(s flags.State) flags.State { return s.Expunge("b", 7) }, false, "trash"},
		{"expunge after a seen move", func(s flags.State) flags.State { return expunge(s.Move("a", "inbox")) }, same, false, "inbox"},
		{"marked, expunged, moved", func(s flags.State) flags.State { return expunge(s.Set("a", []string{flags.Deleted}, nil)) }, func(s flags.State) flags.State { return s.Move("b", "inbox") }, true, "inbox"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := flags.Merge(tt.a(start), tt.b(start))
			if m.Present() != tt.present || m.Mailbox() != tt.box || m.Has(flags.Deleted) {
				t.Errorf("present = %v in %s, deleted mark = %v; want %v in %s, false", m.Present(), m.Mailbox(), m.Has(flags.Deleted), tt.present, tt.box)
			}
		})
	}
}

func expunge(s flags.State) flags.State { return s.Expunge("a", 5) }
func same(s flags.State) flags.State    { return s }

func TestAddWins(t *testing.T) {
	start := flags.New("a", "body", "inbox", []string{`\seen`})
	removed := start.Set("a", nil, []string{`\SEEN`})
	again := start.Set("b", nil, []string{flags.Seen}).Set("b", []string{flags.Seen}, nil)
	if removed.Has(flags.Seen) {
		t.Error("a removed flag is set")
	}
	if m := flags.Merge(removed, again); !m.Has(flags.Seen) {
		t.Error("a concurrent add lost against a removal")
	}
	if m := flags.Merge(removed, start); m.Has(flags.Seen) {
		t.Error("an old copy brought a removed flag back")
	}
}

func TestFlagCase(t *testing.T) {
	s := flags.New("a", "body", "inbox", []string{`\SEEN`, "$forwarded", "MyLabel"})
	s = s.Set("a", []string{"mylabel", `\fLagged`}, nil)
	want := []string{"$Forwarded", "MyLabel", `\Flagged`, `\Seen`}
	if got := s.Flags(); !slices.Equal(got, want) {
		t.Errorf("flags = %q, want %q", got, want)
	}
	if got := s.Set("a", nil, []string{"MYLABEL"}).Flags(); slices.Contains(got, "MyLabel") {
		t.Errorf("flags = %q after MYLABEL was removed", got)
	}
}

func TestNothingChangedSpendsNoDot(t *testing.T) {
	s := flags.New("a", "body", "inbox", []string{flags.Seen})
	if got := s.Set("b", []string{flags.Seen}, []string{flags.Draft}); !bytes.Equal(got.Encode(), s.Encode()) {
		t.Errorf("state = %s, want %s", got.Encode(), s.Encode())
	}
}

// An event is one operation of the model, with everything that its device had
// seen when it happened.
type event struct {
	kind, arg string
	time      uint64
	device    string
	seen      map[int]bool
}

// A world runs random operations on real states and remembers the events, from
// which the outcome is told by the rules of the package comment alone.
type world struct {
	states []flags.State
	seen   []map[int]bool
	events []event
}

func (w *world) do(dev int, kind, arg string) {
	s, name := w.states[dev], device(dev)
	if !s.Present() {
		return // A device does nothing with a message that it does not show.
	}
	switch kind {
	case "add":
		if s.Has(arg) {
			return
		}
		s = s.Set(name, []string{arg}, nil)
	case "remove":
		s = s.Set(name, nil, []string{arg})
	case "move":
		s = s.Move(name, arg)
	case "discard":
		s = s.Discard(name, "trash")
	case "expunge":
		s = s.Expunge(name, int64(len(w.events)))
	}
	var time uint64 // Lamport: one more than everything seen.
	for i := range w.seen[dev] {
		time = max(time, w.events[i].time)
	}
	spent := !bytes.Equal(s.Encode(), w.states[dev].Encode())
	w.states[dev] = s
	if !spent {
		return
	}
	seen := map[int]bool{len(w.events): true}
	for i := range w.seen[dev] {
		seen[i] = true
	}
	w.events = append(w.events, event{kind, arg, time + 1, name, seen})
	w.seen[dev] = seen
}

func (w *world) sync(to, from int) {
	w.states[to] = flags.Merge(w.states[to], w.states[from])
	seen := map[int]bool{}
	for i := range w.seen[to] {
		seen[i] = true
	}
	for i := range w.seen[from] {
		seen[i] = true
	}
	w.seen[to] = seen
}

func device(i int) string { return string(rune('a' + i)) }

// expect says what a device that has seen these events must show.
func (w *world) expect(dev int) (present bool, box string, set []string) {
	survives := func(i int, removes func(event) bool) bool {
		for j := range w.seen[dev] {
			if removes(w.events[j]) && j != i && w.events[j].seen[i] {
				return false
			}
		}
		return true
	}
	var last event
	names := map[string]bool{}
	for i := range w.seen[dev] {
		e := w.events[i]
		if e.kind == "move" || e.kind == "new" {
			present = present || survives(i, func(o event) bool { return o.kind == "expunge" })
		}
		if e.kind == "move" || e.kind == "new" || e.kind == "discard" {
			if e.time > last.time || e.time == last.time && e.device > last.device {
				last = e
			}
		}
		if e.kind == "add" && survives(i, func(o event) bool {
			return o.kind == "remove" && o.arg == e.arg || o.kind == "expunge" && e.arg == flags.Deleted
		}) {
			names[e.arg] = true
		}
	}
	for name := range names {
		set = append(set, name)
	}
	slices.Sort(set)
	box = last.arg
	if last.kind == "discard" {
		box = "trash"
	}
	return present, box, set
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 3
		w := &world{events: []event{{kind: "new", arg: "inbox", time: 1, device: "a", seen: map[int]bool{0: true}}}}
		start := flags.New("a", "body", "inbox", nil)
		for range n {
			w.states, w.seen = append(w.states, start), append(w.seen, map[int]bool{0: true})
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			dev := rapid.IntRange(0, n-1).Draw(t, "device")
			switch kind := rapid.SampledFrom([]string{"add", "remove", "move", "discard", "expunge", "sync", "sync"}).Draw(t, "kind"); kind {
			case "sync":
				w.sync(dev, rapid.IntRange(0, n-1).Draw(t, "from"))
			case "add", "remove":
				w.do(dev, kind, rapid.SampledFrom([]string{flags.Seen, flags.Deleted, "$label"}).Draw(t, "flag"))
			default:
				w.do(dev, kind, rapid.SampledFrom([]string{"inbox", "archive"}).Draw(t, "box"))
			}
			w.check(t, dev)
		}
		// The laws of a join, on what the run has made.
		a, b, c := w.states[0], w.states[1], w.states[2]
		equal(t, "commutative", flags.Merge(a, b), flags.Merge(b, a))
		equal(t, "associative", flags.Merge(flags.Merge(a, b), c), flags.Merge(a, flags.Merge(b, c)))
		equal(t, "idempotent", flags.Merge(a, a), a)
		equal(t, "absorbing", flags.Merge(flags.Merge(a, b), b), flags.Merge(a, b))
		for dev := range n {
			for from := range n {
				w.sync(dev, from)
			}
		}
		for dev := range n {
			w.sync(dev, (dev+1)%n)
			w.check(t, dev)
		}
	})
}

func (w *world) check(t *rapid.T, dev int) {
	t.Helper()
	s := w.states[dev]
	present, box, set := w.expect(dev)
	got := fmt.Sprint(s.Present(), " ", s.Mailbox(), " ", s.Flags())
	if want := fmt.Sprint(present, " ", box, " ", set); got != want {
		t.Fatalf("device %s shows %s, want %s\nstate %s\nevents %+v", device(dev), got, want, s.Encode(), w.events)
	}
	back, err := flags.Decode(s.Encode())
	if err != nil {
		t.Fatalf("decoding %s: %v", s.Encode(), err)
	}
	equal(t, "decoded", back, s)
}

func equal(t *rapid.T, what string, a, b flags.State) {
	t.Helper()
	if diff := cmp.Diff(string(a.Encode()), string(b.Encode())); diff != "" {
		t.Fatalf("not %s:\n%s", what, diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	ok := `{"v":1,"body":"m","clock":{"a":2},"present":["1@a"],"box":"inbox","box_dot":"1@a","flags":{"\\Seen":["2@a"]}}`
	if _, err := flags.Decode([]byte(ok)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"version":        {`"v":1`, `"v":2`},
		"future dot":     {`"2@a"`, `"3@a"`},
		"unknown device": {`"2@a"`, `"1@b"`},
		"dot zero":       {`"1@a"]`, `"0@a"]`},
		"odd number":     {`"1@a"]`, `"01@a"]`},
		"unknown member": {`"v":1`, `"v":1,"w":2`},
		"bad flag":       {`\\Seen`, `\\Recent`},
		"flag of none":   {`["2@a"]`, `[]`},
		"clock zero":     {`"a":2`, `"a":2,"b":0`},
		"clock wraps":    {`"a":2`, `"a":18446744073709551615`},
		"unsorted":       {`["1@a"]`, `["2@a","1@a"]`},
		"twice":          {`["1@a"]`, `["1@a","1@a"]`},
		"trailing":       {`}}`, `}} {}`},
	} {
		data := strings.Replace(ok, change[0], change[1], 1)
		if _, err := flags.Decode([]byte(data)); err == nil {
			t.Errorf("%s: %s was decoded", name, data)
		}
	}
}

func TestValid(t *testing.T) {
	for flag, want := range map[string]bool{
		`\Seen`: true, `\deleted`: true, "$Label1": true, "NonJunk": true, `\Recent`: false, `\*`: false,
		"": false, "a b": false, "a(b": false, "caf\u00e9": false, strings.Repeat("x", 129): false,
	} {
		if got := flags.Valid(flag); got != want {
			t.Errorf("Valid(%q) = %v, want %v", flag, got, want)
		}
	}
}
