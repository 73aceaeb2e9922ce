package bigcouch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/store"
)

// A database in several parts is a database in each of their shards, and this
// node and others ask the parts for what clients ask of the whole: by requests
// to the ordinary handler that name the part, see spread.go.

// partKey is the key of a context that says which part of a database a request
// of this process is for, and partRefHeader says it to another node.
type partKey struct{}

const partRefHeader = "X-Leap-Part"

// A partRef names a part of a database.
type partRef struct {
	db   uint64 // The incarnation.
	part int

	// designs is what the sum of the part's design documents must be; copies
	// stands for whatever it is, and shows what otherwise only part 0 shows.
	designs string
}

const showCopies = "*"

func (p partRef) String() string { return fmt.Sprintf("%016x/%d/%s", p.db, p.part, p.designs) }

func parsePartRef(s string) (p partRef, ok bool) {
	list := strings.SplitN(s, "/", 3)
	if len(list) != 3 {
		return p, false
	}
	var err, err2 error
	p.db, err = strconv.ParseUint(list[0], 16, 64)
	p.part, err2 = strconv.Atoi(list[1])
	p.designs = list[2]
	return p, err == nil && err2 == nil && p.part >= 0
}

// openPart makes the part that the request names, if it names one, the database
// of the request.
func (c *call) openPart() error {
	ref, named := c.ctx().Value(partKey{}).(partRef)
	if text := c.r.Header.Get(partRefHeader); !named && text != "" && c.ctx().Value(fromPeer{}) != nil {
		if ref, named = parsePartRef(text); !named {
			return badRequest("Malformed %s", partRefHeader)
		}
	}
	if !named {
		return nil
	}
	if c.db.ID != ref.db || ref.part >= len(c.db.Shards) {
		return store.ErrNoDatabase
	}
	c.ref = ref
	return c.choosePart(ref.part)
}

// choosePart makes part i the database of the request.
func (c *call) choosePart(i int) error {
	v := c.view()
	defer v.Close()
	part, err := v.Part(c.db, i)
	if err == nil {
		c.db, c.ref.db, c.ref.part = part, part.ID, i
	}
	return err
}

// copied reports whether a document is in this part, but belongs to part 0.
func (c *call) copied(id string) bool {
	return c.db.Part > 1 && c.ref.designs != showCopies && isDesign(id)
}

// copiesIn counts the copies of design documents: those that are there, and
// tombstones.
func (c *call) copiesIn(v *store.View) (live, deleted uint64, err error) {
	if c.db == nil || c.db.Part <= 1 || c.ref.designs == showCopies {
		return 0, 0, nil
	}
	for d, err := range v.Documents(c.db, spaceSpan(store.DesignPrefix)) {
		if err != nil {
			return 0, 0, err
		}
		if d.Deleted {
			deleted++
		} else {
			live++
		}
	}
	return live, deleted, nil
}

// errDesigns is the answer of a part whose design documents are not those that
// the request is about.
var errDesigns = &wireError{http.StatusPreconditionFailed, "designs_differ", "This part has other design documents."}

// checkDesigns compares the design documents of a part with those that the
// request wants.
func (c *call) checkDesigns() error {
	if c.ref.designs == "" || c.ref.designs == showCopies {
		return nil
	}
	v := c.view()
	defer v.Close()
	var list designList
	for d, err := range v.Documents(c.db, spaceSpan(store.DesignPrefix)) {
		if err != nil {
			return err
		}
		if !d.Deleted {
			list = append(list, designRev{d.ID, d.Rev.String()})
		}
	}
	if list.sum() != c.ref.designs {
		return errDesigns
	}
	return nil
}

// A designList has the design documents of a part that are there, in order.
type designList []designRev

type designRev struct{ id, rev string }

func (l designList) sum() string {
	h := sha256.New()
	for _, d := range l {
		fmt.Fprintf(h, "%d:%s%s\n", len(d.id), d.id, d.rev)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
