package replicate

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseRequest(t *testing.T) {
	for body, want := range map[string]string{
		`[]`:                          "Request body must be a JSON object",
		`null`:                        "Request body must be a JSON object",
		`{}`:                          "is missing",
		`{"source":"a","target":"B"}`: "`target` is neither the name of a database nor a URL of http or https",
		`{"source":1,"target":"b"}`:   "`source` is neither a name, nor a URL, nor an object",
		`{"source":{"url":"http://a:b@h/d","auth":{"basic":{"username":"a","password":"b"}}},"target":"b"}`: "`source` has two names and passwords",
		`{"source":{"url":"http://h/d","headers":{"a b":"c"}},"target":"b"}`:                                "`source` has a header that is none",
		`{"source":{"url":"http://h/d","headers":{"a":"c\nd"}},"target":"b"}`:                               "`source` has a header that is none",
		`{"source":{"headers":{}},"target":"b"}`:                                                            "`source` has no url",
		`{"source":"http://h/","target":"b"}`:                                                               "`source` is not the URL of a database",
		`{"source":"http://h/d?x=1","target":"b"}`:                                                          "`source` is not the URL of a database",
		`{"source":"http://me:secret@h:x/d","target":"b"}`:                                                  "`source` is not a URL",
		`{"source":"a","target":"b","doc_ids":["x"],"filter":"d/f"}`:                                        "`doc_ids`, `filter`, `selector` are mutually exclusive",
		`{"source":"a","target":"b","doc_ids":"x"}`:                                                         "`doc_ids` must be a list of strings",
		`{"source":"a","target":"b","selector":[]}`:                                                         "`selector` must be an object",
		`{"source":"a","target":"b","continuous":"yes"}`:                                                    "`continuous` must be a boolean",
		`{"source":"a","target":"b","checkpoint_interval":-1}`:                                              "`checkpoint_interval` must be a positive number",
		`{"source":"a","target":"b","source_proxy":"http://p"}`:                                             "`source_proxy` is not supported",
		`{"source":"a","target":"b","user_ctx":7}`:                                                          "The `user_ctx` property must be a non-null object.",
		`{"source":"a","target":"b","user_ctx":{"name":""}}`:                                                "The `user_ctx.name` property must be a non-empty string or null.",
		`{"source":"a","target":"b","user_ctx":{"roles":["a",""]}}`:                                         "Roles must be non-empty strings.",
	} {
		_, err := ParseRequest([]byte(body))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	r, err := ParseRequest([]byte(`{"source":{"url":"https://h:1/a%2Fb/","auth":{"basic":{"username":"u","password":"secret"}},"headers":{"x-y":"secret","Host":"evil"}},
		"target":"b","continuous":true,"create_target":true,"query_params":{"a":"b","c":1},"filter":"d/f","checkpoint_interval":1,"since_seq":"5-x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Source.String(); got != "https://u:*****@h:1/a%2Fb/" {
		t.Errorf("source %s", got)
	}
	if r.QueryParams["c"] != "1" || r.Interval != minInterval || seqText(r.Since) != "5-x" || r.Source.header.Get("Host") != "" {
		t.Errorf("%+v", r)
	}
	// The id is for ever: checkpoints hang on it.
	if got := r.ID("me"); got != "37e9644ecb0d82dea651bc60c9fb2f30+continuous+create_target" {
		t.Errorf("id %s", got)
	}
	if r.ID("me") == r.ID("you") {
		t.Error("two users have one id")
	}
}

func TestStrip(t *testing.T) {
	for in, want := range map[string]string{
		`"db"`:                              `"db"`,
		`"http://u:p@h/d"`:                  `"http://h/d"`,
		`{"url":"https://u:p@h/d","a":"p"}`: `"https://h/d"`,
		`{"url":7}`:                         `""`,
		`{"url":"http://u:p@h:x/d"}`:        `""`,
		`["p"]`:                             `""`,
		`null`:                              `""`,
	} {
		if got := string(Strip(json.RawMessage(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestResume(t *testing.T) {
	entry := func(id, start, recorded, previous string) session {
		raw := func(s string) json.RawMessage {
			if s == "" {
				return nil
			}
			return json.RawMessage(`"` + s + `"`)
		}
		return session{Session: id, StartSeq: raw(start), RecordedSeq: raw(recorded), PreviousSeq: raw(previous)}
	}
	old := entry("old", "0", "5", "")
	for _, tt := range []struct {
		name           string
		source, target []session
		want           string
	}{
		{"none", nil, nil, ""},
		{"one side", []session{old}, nil, ""},
		{"equal", []session{old}, []session{old}, `"5"`},
		{"the source lacks the last record", []session{entry("s", "0", "10", "5")}, []session{entry("s", "0", "15", "10")}, `"10"`},
		{"the target is a backup", []session{entry("s", "0", "15", "10")}, []session{entry("s", "0", "10", "5")}, `"10"`},
		{"the target is an older backup", []session{entry("s", "2", "25", "20")}, []session{entry("s", "2", "10", "5")}, `"2"`},
		{"an older session", []session{entry("s", "5", "15", ""), old}, []session{old}, `"5"`},
		{"others in between", []session{entry("a", "5", "7", ""), old}, []session{entry("b", "5", "9", ""), old}, `"5"`},
		{"nothing in common", []session{entry("a", "0", "7", "")}, []session{entry("b", "0", "9", "")}, ""},
	} {
		got := resume(&checkpoint{History: tt.source}, &checkpoint{History: tt.target})
		if string(got) != tt.want {
			t.Errorf("%s: from %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestNetwork(t *testing.T) {
	n := Network{Allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	for address, want := range map[string]bool{
		"9.9.9.9:443": true, "[2620:fe::fe]:443": true, "10.1.2.3:5984": true,
		"10.2.0.1:80": false, "127.0.0.1:5984": false, "[::1]:80": false, "169.254.169.254:80": false, "0.0.0.0:80": false, "100.64.0.1:80": false,
		"[fe80::1%25eth0]:80": false, "[fd00::1]:80": false, "[::ffff:127.0.0.1]:80": false, "224.0.0.1:80": false, "255.255.255.255:1": false,
		"192.168.0.1:80": false, "[64:ff9b::7f00:1]:80": false, "nonsense": false,
	} {
		if got := n.control("tcp", address, nil) == nil; got != want {
			t.Errorf("%s: allowed %v", address, got)
		}
		if err := (Network{Internal: true}).control("tcp", address, nil); err != nil && address != "nonsense" {
			t.Errorf("%s for administrators: %v", address, err)
		}
	}
}

func TestEncoding(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 48<<10 - 1, 48 << 10, 48<<10 + 1, 200_000} {
		text := strings.Repeat("abcdefg", n/7+1)[:n]
		for name, slow := range map[string]func(io.Reader) io.Reader{"": func(r io.Reader) io.Reader { return r }, "slow": iotest.HalfReader, "eager": iotest.DataErrReader} {
			got, err := io.ReadAll(&encoding{r: slow(strings.NewReader(text))})
			if want := base64.StdEncoding.EncodeToString([]byte(text)); err != nil || string(got) != want {
				t.Errorf("%d bytes %s: %d bytes of %d, %v", n, name, len(got), len(want), err)
			}
		}
	}
	if _, err := io.ReadAll(&encoding{r: io.MultiReader(strings.NewReader("abcd"), iotest.ErrReader(io.ErrClosedPipe))}); err != io.ErrClosedPipe {
		t.Errorf("a failing reader: %v", err)
	}
}

func TestBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 5 * time.Second, 60: 5 * time.Second, 1 << 20: 5 * time.Second} {
		for range 20 {
			if got := Backoff(n, time.Second, 5*time.Second); got < want/2 || got > want {
				t.Errorf("after %d failures: %v, want about %v", n, got, want)
			}
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		`{"source":"a","target":"http://u:secret@h/d"}`,
		`{"source":{"url":"http://h/d","headers":{"A":"b"},"auth":{"basic":{"username":"u","password":"secret"}}},"target":"b","doc_ids":["x"]}`,
		`{"cancel":true,"_local_id":"x"}`,
		`{"source":"a","target":"b","selector":{"a":{"$gt":1}},"user_ctx":{"name":"n","roles":["r"]},"create_target_params":{"q":8}}`,
		`{"source":"https://[::1]:5984/a%2fb+c","target":"b","since_seq":[1,"x"],"checkpoint_interval":1e300}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRequest(data)
		if err != nil {
			if _, ok := err.(*Error); !ok {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		again, err := ParseRequest(data)
		if err != nil || again.ID("u") != r.ID("u") {
			t.Fatalf("another id, %v", err)
		}
		if r.CancelID != "" {
			return
		}
		for _, e := range []Endpoint{r.Source, r.Target} {
			if e.Name != "" {
				continue
			}
			if len(e.password) > 5 && !strings.Contains(e.url.String()+e.user, e.password) && strings.Contains(e.String(), e.password) {
				t.Fatalf("a password in %s", e)
			}
			// What is shown of it is an endpoint still.
			var shown Endpoint
			if err := shown.parse(strings.Replace(e.String(), ":*****@", "@", 1)); err != nil {
				t.Fatalf("%s: %v", e, err)
			}
			text, err := json.Marshal(e.String())
			if err != nil {
				t.Fatal(err)
			}
			if s := string(Strip(text)); s == `""` {
				t.Fatalf("nothing is left of %s", text)
			}
		}
	})
}

func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"_id":"a","n":12345678901234567890,"x":{"y":[1,2]},"n":1.0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMembers(data)
		if err != nil {
			return
		}
		out := append(m.without(""), '}')
		if !json.Valid(out) {
			t.Fatalf("%s became %s", data, out)
		}
		again, err := parseMembers(out)
		if err != nil || string(append(again.without(""), '}')) != string(out) {
			t.Fatalf("%s became %s, then %v", data, out, err)
		}
	})
}

func FuzzReadPage(f *testing.F) {
	f.Add([]byte(`{"results":[{"seq":1,"id":"a","changes":[{"rev":"1-a"}]}],"last_seq":"1-x","pending":0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		pg, err := readPage(strings.NewReader(string(data)), 3)
		if err == nil && len(pg.rows) > 3 {
			t.Fatalf("%d rows", len(pg.rows))
		}
	})
}
