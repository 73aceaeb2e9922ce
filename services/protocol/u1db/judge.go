package u1db

// A Verdict is what becomes of a version of a document that another replica
// offers (leap-protocols.md 7.5).
type Verdict int

// The verdicts. Refused means that one of the two revisions does not parse.
const (
	Refused    Verdict = iota
	Inserted           // Store it: it is newer, or there was nothing.
	Converged          // Do nothing: it is the same version.
	Superseded         // Do nothing: the stored version is newer, and goes to the source.
	Merged             // Incomparable clocks, same content: keep it under the merged clock, one tick of our own on top.
	Conflicted         // Incomparable clocks and contents. A server keeps its own and returns it; a device takes the server's and keeps its own as a conflict.
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	return [...]string{"refused", "inserted", "converged", "superseded", "merged", "conflicted"}[v]
}

// Judge compares an incoming version with the stored one, nil if there is
// none. A deleted document is a version like any other.
func Judge(incoming Document, stored *Document) Verdict {
	in, err := ParseRevision(incoming.Rev)
	if err != nil {
		return Refused
	}
	if stored == nil {
		return Inserted
	}
	have, err := ParseRevision(stored.Rev)
	if err != nil {
		return Refused
	}
	switch in.Compare(have) {
	case Newer:
		return Inserted
	case Equal:
		return Converged
	case Older:
		return Superseded
	}
	if incoming.Content == stored.Content {
		return Merged
	}
	return Conflicted
}

// CheckSource checks the position of a change in its source's log against the
// position stored for that source (leap-protocols.md 7.5): it must be higher,
// or the same with the same transaction id. Else ErrGeneration or
// ErrTransaction.
func CheckSource(gen int, trans string, storedGen int, storedTrans string) error {
	switch {
	case gen < storedGen:
		return ErrGeneration
	case gen == storedGen && trans != storedTrans:
		return ErrTransaction
	}
	return nil
}

// CheckKnown checks what a source knows of the target at the start of a POST
// (leap-protocols.md 7.4). own is the target's generation, trans its
// transaction id at the generation h.LastKnownGeneration ("" at 0; not looked
// at if that is beyond own). Else ErrGeneration, ErrTransaction, or ErrReplica
// when source and target are one replica.
func CheckKnown(h SyncHeader, source, target string, own int, trans string) error {
	switch {
	case source == target:
		return ErrReplica
	case h.LastKnownGeneration > own:
		return ErrGeneration
	case h.LastKnownTransID != trans:
		return ErrTransaction
	}
	return nil
}
