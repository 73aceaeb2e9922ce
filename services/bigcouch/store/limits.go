package store

// SetRevsLimit changes how many ancestors of a leaf are remembered. Trees get
// shorter when their documents are next written.
type SetRevsLimit struct {
	Name  string
	DB    uint64
	Limit int
}

func (c SetRevsLimit) apply(b *Batch) (Result, error) {
	return b.change(c.Name, c.DB, func(d *Database) { d.RevsLimit = c.Limit })
}

// SetPurgedInfosLimit changes how many purges are remembered.
type SetPurgedInfosLimit struct {
	Name  string
	DB    uint64
	Limit int
}

func (c SetPurgedInfosLimit) apply(b *Batch) (Result, error) {
	return b.change(c.Name, c.DB, func(d *Database) { d.PurgedInfosLimit = c.Limit })
}
