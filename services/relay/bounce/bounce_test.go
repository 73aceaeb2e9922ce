package bounce_test

import (
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"strings"
	"testing"
	"time"

	"leap.example/services/relay/bounce"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func report(until time.Time) bounce.Report {
	return bounce.Report{
		ID: "0123456789abcdef", Hostname: "smtp.example.org", Domain: "example.org", To: "alice@example.org",
		At: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC), Arrived: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC), Until: until,
		Recipients: []bounce.Recipient{
			{Address: "carol@dest.example", Status: "5.1.1", Code: 550, Text: "no such user\r\nContent-Type: é\x00", Remote: "mx.dest.example"},
			{Address: "jürgen@dest.example", Status: "4.4.1", Text: "no connection to the server", Remote: "mx.dest.example"},
			{Address: "x@nowhere.example", Status: "5.1.2", Text: "the domain does not exist"},
			{Address: "y@dest.example", Status: "5.0.0", Code: 554, Text: strings.Repeat("long ", 200)},
		},
		Header: []byte("From: alice@example.org\r\nSubject: hello\r\n"),
	}
}

func TestGolden(t *testing.T) {
	for name, until := range map[string]time.Time{"failed": {}, "late": time.Date(2026, 3, 6, 9, 30, 0, 0, time.UTC)} {
		got := report(until).Message()
		file := "testdata/" + name + ".eml"
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s: got\n%s\nwant (-update rewrites)\n%s", name, got, want)
		}
	}
}

// TestReads takes a notification apart the way a mail program does.
func TestReads(t *testing.T) {
	m, err := mail.ReadMessage(strings.NewReader(string(report(time.Time{}).Message())))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("content type %s %v, %v", kind, params, err)
	}
	var kinds []string
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		kinds = append(kinds, kind)
		body, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		if kind == "text/rfc822-headers" && string(body) != "From: alice@example.org\r\nSubject: hello\r\n" {
			t.Errorf("header of the message: %q", body)
		}
	}
	if got := strings.Join(kinds, " "); got != "text/plain message/delivery-status text/rfc822-headers" {
		t.Errorf("parts: %s", got)
	}
}
