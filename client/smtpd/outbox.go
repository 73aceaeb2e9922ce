package smtpd

import (
	crand "crypto/rand"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"leap.example/client/soledad"
)

// Buckets of the outbox: what is known of each parcel, and its octets, which
// are read only to be sent. A key is the time of the parcel's making and a
// random part.
const (
	parcelBucket  = "outbox"
	contentBucket = "outbox-content"
)

// A parcel is one copy of a message on its way.
type parcel struct {
	From     string    `json:"from"`
	To       []string  `json:"to"`      // Who has not got it yet.
	Subject  string    `json:"subject"` // For the user, should it fail.
	Created  time.Time `json:"created"`
	Next     time.Time `json:"next"` // Not before.
	Attempts int       `json:"attempts"`

	id  string
	raw []byte
}

const (
	firstPause = 10 * time.Second
	maxPause   = time.Hour
	maxAge     = 5 * 24 * time.Hour
)

// put stores a new parcel.
func (p parcel) put(tx *soledad.Tx) error {
	p.Created = time.Now()
	p.id = fmt.Sprintf("%016x-%s", p.Created.UnixNano(), strings.ToLower(crand.Text()))
	if err := tx.LocalPut(contentBucket, p.id, p.raw); err != nil {
		return err
	}
	return p.save(tx)
}

// save stores what is known of a parcel.
func (p parcel) save(tx *soledad.Tx) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return tx.LocalPut(parcelBucket, p.id, data)
}

// remove takes a parcel out of the outbox.
func (p parcel) remove(tx *soledad.Tx) error {
	if err := tx.LocalDelete(contentBucket, p.id); err != nil {
		return err
	}
	return tx.LocalDelete(parcelBucket, p.id)
}

// parcels returns all parcels, the oldest first, without their octets.
func parcels(tx *soledad.Tx) (list []parcel, err error) {
	err = tx.LocalEach(parcelBucket, func(id string, data []byte) error {
		p := parcel{id: id}
		if err := json.Unmarshal(data, &p); err != nil {
			return fmt.Errorf("parcel %s: %w", id, err)
		}
		list = append(list, p)
		return nil
	})
	return list, err
}

// pause returns how long to wait after so many attempts: doubling, with
// jitter, so that the devices of a provider do not come back all at once.
func (s *Server) pause(attempts int) time.Duration {
	if s.testOnlyPause != nil {
		return s.testOnlyPause(attempts)
	}
	d := maxPause
	if attempts < 20 {
		d = min(firstPause<<(attempts-1), maxPause)
	}
	return d/2 + rand.N(d)
}
