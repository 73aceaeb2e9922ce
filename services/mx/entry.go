package mx

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/mail"
	"time"
)

// A digest stands for one message of one sender, however often it is sent.
type digest struct {
	sum  [sha256.Size]byte
	date time.Time // Of its Date field; zero: it has none that is of use.
	ok   bool      // False: the message cannot be told from another like it.
}

// Bounds of a Date field that is believed, around now: a sender retries for
// five days (RFC 5321, 4.5.4.1), and clocks go wrong.
const (
	oldest = 5 * 24 * time.Hour
	newest = 24 * time.Hour
)

// digestOf computes what a retry keeps: not the fields that servers on the way
// put in front.
func digestOf(from string, m *message, now time.Time) digest {
	h := sha256.New()
	part := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	part([]byte(from))
	for _, name := range []string{"Message-ID", "Date", "From"} {
		part([]byte(m.header.Value(name)))
	}
	part(m.body)
	d := digest{ok: m.header.Value("Message-ID") != ""}
	h.Sum(d.sum[:0])
	if t, err := mail.ParseDate(m.header.Value("Date")); err == nil && t.After(now.Add(-oldest)) && t.Before(now.Add(newest)) {
		d.date = t
	}
	return d
}

// entryID returns the id of the queue entry of a message for a user: eight hex
// digits that order entries by time, and 32 that nobody without the secret can
// compute. For the same message it is the same, in any process that has the
// secret: its time is that of the Date field, to the hour, or, without a
// usable one, the day. The exact time of arrival is not part of it.
func entryID(secret []byte, d digest, userID string, now time.Time) string {
	at := now.Truncate(24 * time.Hour)
	if !d.date.IsZero() {
		at = d.date.Truncate(time.Hour)
	}
	tail := make([]byte, sha256.Size)
	if d.ok {
		mac := hmac.New(sha256.New, secret)
		mac.Write(d.sum[:])
		mac.Write([]byte(userID))
		tail = mac.Sum(tail[:0])
	} else {
		rand.Read(tail)
	}
	return fmt.Sprintf("%08x-%s", at.Unix()/3600, hex.EncodeToString(tail[:16]))
}
