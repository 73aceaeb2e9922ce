package bigcouch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// No write is allowed by a catalogue older than oldestCatalogue, whatever keeps
// this node from its leader; and as long as that can be reached writers wait for
// it once a second, and not all of them.
func TestRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recent
		var reached error
		asked := 0
		takes := time.Duration(0)
		var fresh time.Time // The copy has everything of then.
		write := func() error {
			return r.ensure(t.Context(), func(ctx context.Context) error {
				asked++
				began := time.Now()
				select {
				case <-time.After(takes):
				case <-ctx.Done():
					return ctx.Err()
				}
				if reached == nil {
					fresh = began
				}
				return reached
			})
		}
		cut := errors.New("cut off")
		reached = cut
		if err := write(); !errors.Is(err, cut) {
			t.Errorf("never up to date: %v", err)
		}
		reached, asked = nil, 0
		for range 1000 {
			if err := write(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if asked < 9 || asked > 11 {
			t.Errorf("asked %d times in ten seconds", asked)
		}
		reached, takes = cut, time.Minute
		began, refused := time.Now(), false
		for time.Since(began) < 2*oldestCatalogue {
			late := time.Since(fresh) // When it comes; the answer may take longer.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := r.ensure(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			cancel()
			if (err != nil) != (late > oldestCatalogue) {
				t.Fatalf("by a catalogue of %v ago: %v", late, err)
			}
			refused = refused || err != nil
			time.Sleep(10 * time.Millisecond)
		}
		if !refused {
			t.Error("nothing was refused")
		}
		reached, takes = nil, time.Millisecond
		if err := write(); err != nil {
			t.Errorf("reached again: %v", err)
		}
	})
}

func TestChanges(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]bool{
		"GET /": false, "GET /db/doc": false, "HEAD /db": false, "PUT /db": true, "DELETE /db": true, "PUT /db/doc": true, "COPY /db/doc": true,
		"POST /db": true, "POST /db/_bulk_docs": true, "POST /db/_purge": true, "POST /db/_index": true, "PUT /db/_security": true, "POST /_replicate": true,
		"POST /db/_find": false, "POST /db/_all_docs": false, "POST /db/_all_docs/queries": false, "POST /db/_changes": false, "POST /db/_bulk_get": false,
		"POST /db/_revs_diff": false, "POST /db/_design/d/_view/v": false, "POST /db/_design/d/_view/v/queries": false,
		"POST /_session": false, "DELETE /_session": false, "POST /_dbs_info": false, "POST /_node/_local/_digest": false, "PUT /_users/org.couchdb.user:x": true,
	} {
		method, path, _ := strings.Cut(request, " ")
		elements, err := splitPath(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := changes(method, elements); got != want {
			t.Errorf("%s: %t", request, got)
		}
	}
}
