package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
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
func (s *play) scan(words []string) (map[string][]string, error) {
	f := &finder{words: words, found: map[string][]string{}}
	if err := f.files(filepath.Join(s.dir, "dev")); err != nil {
		return nil, err
	}
	if err := f.file(s.provider.log); err != nil {
		return nil, err
	}
	db, err := s.database()
	if err != nil {
		return nil, err
	}
	if err := f.database(db); err != nil {
		return nil, err
	}
	if f.documents == 0 {
		return nil, fmt.Errorf("the scan read no document at all")
	}
	return f.found, nil
}

// A finder collects where words are.
type finder struct {
	words     []string
	found     map[string][]string
	documents int
}

func (f *finder) look(where string, data []byte) {
	for _, w := range f.words {
		hit := slices.ContainsFunc(forms(w), func(form []byte) bool { return bytes.Contains(data, form) })
		if hit && !slices.Contains(f.found[w], where) {
			f.found[w] = append(f.found[w], where)
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

func (f *finder) files(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		return f.file(path)
	})
}

func (f *finder) file(path string) error {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil // The database compacts while we look.
	}
	f.look(path, data)
	return err
}

// database reads every document of every database, deleted ones too.
func (f *finder) database(db database) error {
	var names []string
	if err := db.get("/_all_dbs", &names); err != nil {
		return err
	}
	for _, name := range names {
		var changes struct {
			Results []struct {
				ID      string
				Changes []struct{ Rev string }
			}
		}
		if err := db.get("/"+url.PathEscape(name)+"/_changes?style=all_docs", &changes); err != nil {
			return err
		}
		for _, row := range changes.Results {
			for _, leaf := range row.Changes {
				var doc any
				path := "/" + url.PathEscape(name) + "/" + url.PathEscape(row.ID) + "?attachments=true&rev=" + url.QueryEscape(leaf.Rev)
				if err := db.get(path, &doc); err != nil {
					return err
				}
				f.documents++
				f.value(name+"/"+row.ID, doc, 0)
			}
		}
	}
	return nil
}

// value looks into a JSON value: into its strings as they are, and into what
// they decode to as base64, hex or JSON.
func (f *finder) value(where string, v any, depth int) {
	if depth > 12 {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			f.look(where, []byte(k))
			f.value(where, e, depth+1)
		}
	case []any:
		for _, e := range v {
			f.value(where, e, depth+1)
		}
	case string:
		f.look(where, []byte(v))
		for _, decoded := range decodings(v) {
			f.look(where, decoded)
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

// A database is the database's HTTP API with administrator rights.
type database struct {
	urls     []string // Of its nodes.
	password string
}

// database returns the provider's database.
func (s *play) database() (database, error) {
	password, err := os.ReadFile(s.at.CouchPasswordFile)
	db := database{urls: []string{s.at.Couch}, password: strings.TrimSpace(string(password))}
	for _, d := range s.at.Databases[min(1, len(s.at.Databases)):] {
		db.urls = append(db.urls, d.URL)
	}
	return db, err
}

func (db database) get(path string, v any) error {
	status, body, err := db.do(path)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s: %d %.200s", path, status, body)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

// do asks one node after the other until one is well.
func (db database) do(path string) (status int, body []byte, err error) {
	for deadline := time.Now().Add(20 * time.Second); ; {
		for _, base := range db.urls {
			status, body, err = db.ask(base + path)
			if err == nil && status != http.StatusServiceUnavailable {
				return status, body, nil
			}
		}
		if len(db.urls) == 1 || time.Now().After(deadline) {
			return status, body, err
		}
		time.Sleep(50 * time.Millisecond) // Between polls only.
	}
}

func (db database) ask(url string) (status int, body []byte, err error) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth("admin", db.password)
	req.Header.Set("X-Leap-Fresh", "1") // Another node may have just been told.
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}
