package mailstore

import (
	"context"
	"database/sql"
	"net/mail"
	"slices"
	"strings"
	"time"

	"leap.example/client/mailmime"
	"leap.example/client/soledad"
)

// A Query says which messages a search is for, in the terms of RFC 9051,
// 6.4.4. All members that are not zero must hold. Strings are looked for as
// substrings, without regard to case, in decoded text; dates are compared by
// the day.
type Query struct {
	In                    []func(uid uint32) bool
	Since, Before         time.Time // Of the internal date, in UTC.
	SentSince, SentBefore time.Time // Of the field Date, in its own zone.
	Header                []HeaderQuery
	Body                  []string // In the text of the message, its first megabyte.
	Text                  []string // In that or in the header.
	Flags, NotFlags       []string // In any case.
	Larger, Smaller       int64    // Bytes; zero: no limit.
	Not                   []Query
	Or                    [][2]Query
}

// A HeaderQuery is true if a field of that name contains a string. The empty
// string is in every field.
type HeaderQuery struct{ Name, Value string }

// Search returns the UIDs of the messages of a mailbox, given by its id, that
// a query is for, in order.
func (s *Store) Search(ctx context.Context, box string, q Query) (uids []uint32, err error) {
	err = s.docs.View(ctx, func(tx *soledad.Tx) error {
		items, err := searchItems(tx.SQL(), box, required(q))
		if err != nil {
			return err
		}
		e := evaluation{tx: tx, possible: map[string]map[int64]bool{}}
		uids = nil
		for i := range items {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			ok, err := e.holds(&items[i], &q)
			if err != nil {
				return err
			}
			if ok {
				uids = append(uids, items[i].uid)
			}
			items[i] = searchItem{} // Its content is not needed again.
		}
		return nil
	})
	return uids, err
}

// A searchItem is a message while it is looked at.
type searchItem struct {
	uid   uint32
	flags string
	date  time.Time
	size  int64
	body  string
	row   int64
	whole bool

	read   bool // header and text are there.
	header mailmime.Header
	text   string // Folded.
}

// required returns the FTS5 query for what all messages that are found must
// contain, or "".
func required(q Query) string {
	var terms []string
	for _, s := range slices.Concat(q.Body, q.Text) {
		terms = append(terms, match(fold(s)))
	}
	for _, h := range q.Header {
		terms = append(terms, match(fold(h.Value)))
	}
	terms = slices.DeleteFunc(terms, func(t string) bool { return t == "" })
	return strings.Join(terms, " AND ")
}

// searchItems returns the messages of a mailbox; with an FTS5 query those for
// which it holds, or for which the index cannot tell.
func searchItems(tx *sql.Tx, box, match string) ([]searchItem, error) {
	const columns = `SELECT u.uid, u.flags, m.date, m.size, m.id, m.row, m.whole `
	query, args := columns+`
		FROM mail_uid u JOIN mail_item i ON i.id = u.item JOIN mail_body m ON m.id = i.body
		WHERE u.box = ? AND u.gone = 0 ORDER BY u.uid`, []any{box}
	if match != "" { // CROSS JOIN: from the few to the many.
		query, args = `
			WITH c (row) AS (SELECT rowid FROM mail_fts WHERE mail_fts MATCH ? UNION SELECT row FROM mail_body WHERE whole = 0)
			`+columns+`
			FROM c CROSS JOIN mail_body m ON m.row = c.row CROSS JOIN mail_item i ON i.body = m.id CROSS JOIN mail_uid u ON u.item = i.id
			WHERE u.box = ? AND u.gone = 0 ORDER BY u.uid`, []any{match, box}
	}
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []searchItem
	for rows.Next() {
		var it searchItem
		var date int64
		if err := rows.Scan(&it.uid, &it.flags, &date, &it.size, &it.body, &it.row, &it.whole); err != nil {
			return nil, err
		}
		it.date = time.Unix(date, 0).UTC()
		items = append(items, it)
	}
	return items, rows.Err()
}

// An evaluation is one search: a transaction, and for each string that the
// index was asked about the rows where it can be.
type evaluation struct {
	tx       *soledad.Tx
	possible map[string]map[int64]bool
}

// holds evaluates what is cheap first.
func (e *evaluation) holds(it *searchItem, q *Query) (bool, error) {
	for _, in := range q.In {
		if !in(it.uid) {
			return false, nil
		}
	}
	has := func(flag string) bool {
		return slices.ContainsFunc(strings.Fields(it.flags), func(f string) bool { return strings.EqualFold(f, flag) })
	}
	if slices.ContainsFunc(q.NotFlags, has) || slices.ContainsFunc(q.Flags, func(f string) bool { return !has(f) }) ||
		q.Larger != 0 && it.size <= q.Larger || q.Smaller != 0 && it.size >= q.Smaller || !within(it.date, q.Since, q.Before) {
		return false, nil
	}
	if ok, err := e.contentHolds(it, q); !ok {
		return false, err
	}
	for i := range q.Not {
		if ok, err := e.holds(it, &q.Not[i]); ok || err != nil {
			return false, err
		}
	}
	for i := range q.Or {
		ok, err := e.holds(it, &q.Or[i][0])
		if !ok && err == nil {
			ok, err = e.holds(it, &q.Or[i][1])
		}
		if !ok {
			return false, err
		}
	}
	return true, nil
}

func (e *evaluation) contentHolds(it *searchItem, q *Query) (bool, error) {
	if !q.SentSince.IsZero() || !q.SentBefore.IsZero() {
		if err := e.load(it); err != nil {
			return false, err
		}
		sent, err := mail.ParseDate(it.header.Get("Date"))
		if err != nil || !within(sent, q.SentSince, q.SentBefore) {
			return false, nil
		}
	}
	for _, h := range q.Header {
		ok, err := e.contains(it, h.Value, func(needle string) bool {
			return slices.ContainsFunc(it.header, func(f mailmime.Field) bool {
				return f.Is(h.Name) && strings.Contains(fold(f.Text()), needle)
			})
		})
		if !ok {
			return false, err
		}
	}
	for _, s := range q.Body {
		ok, err := e.contains(it, s, func(needle string) bool { return strings.Contains(it.text, needle) })
		if !ok {
			return false, err
		}
	}
	for _, s := range q.Text {
		ok, err := e.contains(it, s, func(needle string) bool {
			return strings.Contains(it.text, needle) || strings.Contains(fold(headerText(it.header)), needle)
		})
		if !ok {
			return false, err
		}
	}
	return true, nil
}

// contains asks the index whether a string can be in a message, and if so
// looks.
func (e *evaluation) contains(it *searchItem, s string, look func(needle string) bool) (bool, error) {
	needle := fold(s)
	rows, asked := e.possible[needle]
	if !asked {
		if m := match(needle); m != "" {
			list, err := column[int64](e.tx.SQL(), `SELECT rowid FROM mail_fts WHERE mail_fts MATCH ?`, m)
			if err != nil {
				return false, err
			}
			rows = map[int64]bool{}
			for _, r := range list {
				rows[r] = true
			}
		}
		e.possible[needle] = rows // Nil: the index cannot tell.
	}
	if rows != nil && it.whole && !rows[it.row] {
		return false, nil
	}
	if err := e.load(it); err != nil {
		return false, err
	}
	return look(needle), nil
}

// load reads the header and the text of a message, once.
func (e *evaluation) load(it *searchItem) error {
	if it.read {
		return nil
	}
	it.read = true
	if it.size > large {
		var head []byte
		var text sql.NullString
		if err := e.tx.SQL().QueryRow(`SELECT head, text FROM mail_body WHERE row = ?`, it.row).Scan(&head, &text); err != nil {
			return err
		}
		if text.Valid {
			it.header, it.text = mailmime.ParseHeader(head), fold(text.String)
			return nil
		}
	}
	b, err := loadBody(e.tx, it.body)
	if err != nil {
		return err
	}
	head, _ := mailmime.Split(b.raw)
	it.header, it.text = mailmime.ParseHeader(head), fold(mailmime.Parse(b.raw).Text(maxText))
	return nil
}

// headerText is a header as searches see it.
func headerText(h mailmime.Header) string {
	var b strings.Builder
	for _, f := range h {
		b.WriteString(f.Name + ": " + f.Text() + "\n")
	}
	return b.String()
}

// within compares days: RFC 9051, 6.4.4, disregards time and zone.
func within(t, since, before time.Time) bool {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return (since.IsZero() || !day.Before(since)) && (before.IsZero() || day.Before(before))
}
