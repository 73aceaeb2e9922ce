package store

import "fmt"

// An OpID names one logical write of a client: a second entry with the same
// one changes nothing and has the first one's answer.
type OpID [16]byte

// OpLife is how long an answer is kept, in milliseconds by the age of the log
// (Head.Age): ten minutes of the proposers' clocks, longer where little is
// written, and hardly less if some of the clocks are wrong.
const OpLife = 10 * 60 * 1000

// An Entry is one element of a shard's log.
type Entry struct {
	Op   OpID  // Zero: none.
	Time int64 // The proposer's clock, Unix milliseconds.
	Cmd  Command
}

// Size returns about how many bytes e brings along.
func (e Entry) Size() int {
	n := 256
	switch c := e.Cmd.(type) {
	case WriteDocs:
		for i := range c.Docs {
			n += 256 + len(c.Docs[i].Body)
			for j := range c.Docs[i].Atts {
				n += len(c.Docs[i].Atts[j].Data)
			}
		}
	case WriteChunk:
		n += len(c.Data)
	case Purge:
		for i := range c.Docs {
			n += len(c.Docs[i].ID) + 64*len(c.Docs[i].Revs)
		}
	}
	return n
}

// A Command says what an entry changes. The types that implement it are those
// of this package.
type Command interface {
	// apply changes b. Its error means that the store cannot be read, and
	// nothing of the batch is committed; a command that is refused says so in
	// its Result.
	apply(b *Batch) (Result, error)
}

// A Result is the answer to an entry.
type Result struct {
	Err      *Refusal    `json:"err,omitempty"`
	Docs     []DocResult `json:"docs,omitempty"`   // Of WriteDocs: one for each document, in order.
	Database *Database   `json:"db,omitempty"`     // Of CreateDatabase: the one in the way. Its name is the caller's to know.
	Rev      string      `json:"rev,omitempty"`    // Of WriteLocal.
	Purged   [][]Rev     `json:"purged,omitempty"` // Of Purge: what went, for each document, in order.
}

// A DocResult is what became of one document.
type DocResult struct {
	ID  string   `json:"id"`
	Rev Rev      `json:"rev"`
	Err *Refusal `json:"err,omitempty"`
}

// A Refusal says why a command was not carried out, in CouchDB's words.
type Refusal struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

func (r *Refusal) Error() string { return r.Name + ": " + r.Reason }

// Is reports whether target is the same refusal: one that has come from the
// log or from another node is another value.
func (r *Refusal) Is(target error) bool {
	t, ok := target.(*Refusal)
	return ok && *t == *r
}

// Refusals.
var (
	ErrConflict   = &Refusal{"conflict", "Document update conflict."}
	ErrMissing    = &Refusal{"not_found", "missing"}
	ErrDeleted    = &Refusal{"not_found", "deleted"}
	ErrNoDatabase = &Refusal{"not_found", "Database does not exist."}
	ErrExists     = &Refusal{"file_exists", "The database could not be created, the file already exists."}

	// ErrJudged is of a list of documents of which nothing was written: by
	// other design documents than those that there are now somebody has decided
	// about it. It is not remembered for the operation.
	ErrJudged = &Refusal{"service_unavailable", "The design documents change too quickly."}
)

func errMissingStub(id, name string) *Refusal {
	return &Refusal{"missing_stub", fmt.Sprintf("Invalid attachment stub in %s for %s", id, name)}
}
