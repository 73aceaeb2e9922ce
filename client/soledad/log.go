package soledad

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"leap.example/services/protocol/envelope"
)

// Keys of the table meta.
const (
	metaReplica     = "replica"     // This replica's uid.
	metaUser        = "user"        // The account that the store is synchronised with,
	metaAccount     = "account"     // and a document id by which its keyring is known.
	metaKeyring     = "keyring"     // Highest version of the keyring seen.
	metaTarget      = "target"      // The server's replica uid,
	metaKnownGen    = "known_gen"   // its generation and transaction id at the end of the last complete pull,
	metaKnownTrans  = "known_trans" //
	metaPushed      = "pushed"      // and the generation of ours that it has acknowledged.
	metaResend      = "resend"      // 1: received changes are sent too, until the next complete exchange.
	metaChainGen    = "chain_gen"   // How far the log has transaction ids,
	metaChainHead   = "chain_head"  // and the head of the chain there.
	metaQuarantined = "quarantined" // Counts the arrivals in quarantine.
)

// meta reads a value of the table meta into dest, which stays as it is if
// there is none.
func (tx *Tx) meta(key string, dest any) error {
	_, err := tx.scan([]any{dest}, "SELECT value FROM meta WHERE key = ?", key)
	return err
}

// setMeta sets a value; one that is the same already costs no write.
func (tx *Tx) setMeta(key string, value any) error {
	return tx.exec("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value", key, value)
}

// generation returns the newest generation of the log; 0 if it is empty.
func (tx *Tx) generation() (int, error) {
	gen := 0
	_, err := tx.scan([]any{&gen}, "SELECT coalesce(max(gen), 0) FROM log")
	return gen, err
}

// append appends a change to the log and returns its generation.
func (tx *Tx) append(r *row, own bool) (int, error) {
	gen, err := tx.generation()
	if err != nil {
		return 0, err
	}
	gen++
	sum := sha256.Sum256(r.body)
	err = tx.exec("INSERT INTO log (gen, id, rev, deleted, sum, own) VALUES (?, ?, ?, ?, ?, ?)", gen, r.id, r.rev, r.deleted, sum[:], own)
	if err != nil {
		return 0, fmt.Errorf("logging %s: %w", r.id, err)
	}
	return gen, nil
}

// A point is a generation and its transaction id.
type point struct {
	gen   int
	trans string
}

// at returns the point of this replica's log at a generation; the transaction
// id is empty if the chain has not reached it, or the log does not.
func (tx *Tx) at(gen int) (point, error) {
	p := point{gen: gen}
	var trans sql.NullString
	_, err := tx.scan([]any{&trans}, "SELECT trans FROM log WHERE gen = ?", gen)
	p.trans = trans.String
	return p, err
}

// chain gives transaction ids to the changes that have none (client.md 4.5),
// and returns the newest point.
func (tx *Tx) chain(k *Keyring, user string) (point, error) {
	from := 0
	var head []byte
	if err := errors.Join(tx.meta(metaChainGen, &from), tx.meta(metaChainHead, &head)); err != nil {
		return point{}, err
	}
	h := envelope.Head0(k.chain, user, tx.replica)
	if from > 0 {
		h = [32]byte(head)
	}
	for {
		page, err := tx.unchained(from)
		if err != nil {
			return point{}, err
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			leaf := envelope.RecvLeaf(e.gen)
			if e.own {
				leaf = envelope.Leaf(e.gen, envelope.DocID(k.id, e.id), e.rev, e.deleted, [32]byte(e.sum))
			}
			h, from = envelope.NextHead(k.chain, h, leaf), e.gen
			if err := tx.exec("UPDATE log SET trans = ? WHERE gen = ?", envelope.TransID(h), e.gen); err != nil {
				return point{}, err
			}
		}
	}
	if err := errors.Join(tx.setMeta(metaChainGen, from), tx.setMeta(metaChainHead, h[:])); err != nil {
		return point{}, err
	}
	return tx.at(from)
}

// A change is a line of the table log.
type change struct {
	gen          int
	id, rev      string
	deleted, own bool
	sum          []byte
}

func (tx *Tx) unchained(from int) ([]change, error) {
	rows, err := tx.query("SELECT gen, id, rev, deleted, own, sum FROM log WHERE gen > ? ORDER BY gen LIMIT 1000", from)
	if err != nil {
		return nil, err
	}
	var page []change
	for rows.Next() && err == nil {
		var c change
		err = rows.Scan(&c.gen, &c.id, &c.rev, &c.deleted, &c.own, &c.sum)
		page = append(page, c)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	return page, nil
}
