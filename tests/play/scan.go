package play

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// scan looks for words in everything that the provider holds: its files and
// logs as they lie on the disk, and every document, attachment and blob read
// back through the database's own API with administrator rights, decoded.
// It returns each word found with the places.
func (s *Story) scan(words []string) (map[string][]string, error) {
	f := NewFinder(words)
	if err := s.At.Files(f); err != nil {
		return nil, err
	}
	if err := f.database(s.At.Database); err != nil {
		return nil, err
	}
	if f.documents == 0 {
		return nil, fmt.Errorf("the scan read no document at all")
	}
	return f.Found, nil
}

// A Finder collects where words are.
type Finder struct {
	Found map[string][]string // Places, by word.

	words     []string
	forms     map[string][][]byte // In which a word may stand.
	documents int
}

// NewFinder looks for words of letters and digits.
func NewFinder(words []string) *Finder {
	f := &Finder{Found: map[string][]string{}, words: words, forms: map[string][][]byte{}}
	for _, w := range words {
		f.forms[w] = forms(w)
	}
	return f
}

// Look looks into data.
func (f *Finder) Look(where string, data []byte) {
	for _, w := range f.words {
		hit := slices.ContainsFunc(f.forms[w], func(form []byte) bool { return bytes.Contains(data, form) })
		if hit && !slices.Contains(f.Found[w], where) {
			f.Found[w] = append(f.Found[w], where)
		}
	}
}

// forms returns a word as it is, and as it stands in the base64 of a longer
// text: there it begins at one of three places, and its ends are mixed with
// what is beside it.
func forms(w string) [][]byte {
	all := [][]byte{[]byte(w)}
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), w...))
		first := (shift*8 + 5) / 6       // The digits before have bits of the neighbour.
		last := (shift + len(w)) * 8 / 6 // The digits after, too.
		all = append(all, []byte(text[first:last]))
	}
	return all
}

// Files looks into all files below a directory.
func (f *Finder) Files(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		return f.File(path)
	})
}

// File looks into a file. One that is not there any more has nothing.
func (f *Finder) File(path string) error {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil // The database compacts while we look.
	}
	f.Look(path, data)
	return err
}

// database reads every document of every database, deleted ones too.
func (f *Finder) database(db Database) error {
	var names []string
	if err := db.get("/_all_dbs", &names); err != nil {
		return err
	}
	for _, name := range names {
		err := f.documentsOf(db, name)
		if errors.Is(err, errMissing) { // An account may be deleted while we look.
			var now []string
			if also := db.get("/_all_dbs", &now); also != nil || slices.Contains(now, name) {
				return errors.Join(err, also)
			}
		} else if err != nil {
			return err
		}
	}
	return nil
}

// documentsOf reads every document of one database. What is listed and then not
// there must have been changed since, and is read as it is then.
func (f *Finder) documentsOf(db Database, name string) error {
	type row struct {
		ID      string
		Changes []struct{ Rev string }
	}
	since, missing := "0", map[string]error{}
	for {
		var changes struct {
			Results []row
			Last    string `json:"last_seq"`
		}
		if err := db.get("/"+url.PathEscape(name)+"/_changes?style=all_docs&since="+url.QueryEscape(since), &changes); err != nil {
			return err
		}
		before := missing
		missing = map[string]error{}
		for _, r := range changes.Results {
			delete(before, r.ID)
			for _, leaf := range r.Changes {
				var doc any
				err := db.get("/"+url.PathEscape(name)+"/"+url.PathEscape(r.ID)+"?attachments=true&rev="+url.QueryEscape(leaf.Rev), &doc)
				if errors.Is(err, errMissing) {
					missing[r.ID] = err
					continue
				} else if err != nil {
					return err
				}
				f.documents++
				f.value(name+"/"+r.ID, doc, 0)
			}
		}
		for _, err := range before {
			return fmt.Errorf("it is listed, and has not changed since: %w", err)
		}
		if len(missing) == 0 {
			return nil
		}
		since = changes.Last
	}
}

// value looks into a JSON value: into its strings as they are, and into what
// they decode to as base64, hex or JSON.
func (f *Finder) value(where string, v any, depth int) {
	if depth > 12 {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			f.Look(where, []byte(k))
			f.value(where, e, depth+1)
		}
	case []any:
		for _, e := range v {
			f.value(where, e, depth+1)
		}
	case string:
		f.Look(where, []byte(v))
		for _, decoded := range decodings(v) {
			f.Look(where, decoded)
		}
		var inner any
		if strings.HasPrefix(v, "{") && json.Unmarshal([]byte(v), &inner) == nil {
			f.value(where, inner, depth+1)
		}
	}
}

// decodings returns what a string may stand for.
func decodings(s string) [][]byte {
	var all [][]byte
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if b, err := e.DecodeString(s); err == nil {
			all = append(all, b)
		}
	}
	if b, err := hex.DecodeString(s); err == nil {
		all = append(all, b)
	}
	return all
}

// A Database is the database's HTTP API with administrator rights.
type Database struct {
	URLs     []string // Of its nodes.
	Password string   // Of the account "admin".
	HTTP     *http.Client
}

// errMissing is 404.
var errMissing = errors.New("it is not there")

func (db Database) get(path string, v any) error {
	status, body, err := db.do(path)
	switch {
	case err == nil && status == http.StatusNotFound:
		err = fmt.Errorf("GET %s: %.200s: %w", path, body, errMissing)
	case err == nil && status != http.StatusOK:
		err = fmt.Errorf("GET %s: %d %.200s", path, status, body)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// do asks one node after the other until one is well.
func (db Database) do(path string) (status int, body []byte, err error) {
	for deadline := time.Now().Add(20 * time.Second); ; {
		for _, base := range db.URLs {
			status, body, err = db.ask(base + path)
			if err == nil && status != http.StatusServiceUnavailable {
				return status, body, nil
			}
		}
		if len(db.URLs) == 1 || time.Now().After(deadline) {
			return status, body, err
		}
		time.Sleep(50 * time.Millisecond) // Between polls only.
	}
}

func (db Database) ask(url string) (status int, body []byte, err error) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth("admin", db.Password)
	req.Header.Set("Accept", "application/json") // What has attachments is multipart/related for who takes all.
	req.Header.Set("X-Leap-Fresh", "1")          // Another node may have just been told.
	resp, err := db.HTTP.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}
