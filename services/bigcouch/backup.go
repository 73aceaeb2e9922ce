package bigcouch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"filippo.io/age"

	"leap.example/services/bigcouch/backup"
	"leap.example/services/bigcouch/store"
)

// BackupSumTrailer is the trailer of a backup's answer: the SHA-256 of the body,
// in hex. Without it the body is not whole.
const BackupSumTrailer = "X-Leap-Sha256"

// backupIdle is how long who takes a backup may leave us waiting: he may be
// sending it on, piece by piece, to a slow place.
const backupIdle = 10 * time.Minute

// freshTimeout is how long a backup waits for majorities to confirm that this
// node has everything.
const freshTimeout = 15 * time.Second

// backup streams all shards of this node as they are at one moment, encrypted:
// what leaves the process only the recipients can read.
func (c *call) backup() error {
	var in struct {
		Recipients []string `json:"recipients"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	to, err := backup.ParseRecipients(in.Recipients)
	if err != nil {
		return badRequest("recipients: %v", err)
	}
	if !c.backingUp.TryLock() {
		return unavailable("another backup of this node is being taken")
	}
	defer c.backingUp.Unlock()
	defer c.tasks.begin("backup", nil)()
	c.feed = true
	m := c.manifest()
	all := c.store.Moment()
	err = c.sendBackup(all, m, to)
	return errors.Join(err, all.Close())
}

// manifest returns the shards that are to be in a backup, as far as that is
// known before the moment that it is of.
func (c *call) manifest() backup.Manifest {
	m := backup.Manifest{Format: store.Format, Total: c.engine.shards + 1}
	m.Node, m.Time = c.name(), time.Now().UTC().Truncate(time.Millisecond)
	if c.cfg.Cluster != nil {
		for _, n := range c.cfg.Cluster.Nodes {
			m.Cluster = append(m.Cluster, n.Name)
		}
	}
	ctx, cancel := context.WithTimeout(c.ctx(), freshTimeout)
	defer cancel()
	for i := range uint16(m.Total) {
		if set := c.engine.set; set != nil && !set.Ready(i) && !set.Late(i) {
			continue
		}
		if c.engine.log.Barrier(ctx, i) != nil {
			m.Stale = append(m.Stale, i)
		}
		m.Shards = append(m.Shards, backup.Shard{Shard: i})
	}
	return m
}

func (c *call) sendBackup(all *store.Moment, m backup.Manifest, to []age.Recipient) error {
	snaps := make([]*store.Snapshot, len(m.Shards))
	for i := range m.Shards {
		s := &m.Shards[i]
		snap, err := all.Shard(s.Shard)
		if err != nil {
			return err
		}
		snaps[i] = snap
		s.Index, s.Term, s.Epoch, s.Time = snap.Head.Index, snap.Head.Term, snap.Head.Epoch, snap.Head.Time
	}
	if len(snaps) == 0 {
		return unavailable("this node has no shard that is up to date")
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("Trailer", BackupSumTrailer)
	out := &outgoing{c: c, sum: sha256.New()}
	w, err := backup.NewWriter(out, m, to)
	if err != nil {
		return err
	}
	for i, s := range m.Shards {
		if err := w.Shard(s.Shard, snaps[i].SendSum); err != nil {
			w.Abandon()
			return fmt.Errorf("backup of shard %d: %w", s.Shard, err)
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	h.Set(BackupSumTrailer, hex.EncodeToString(out.sum.Sum(nil)))
	return nil
}

// outgoing is the answer that a backup is written to. It ends when the node is
// to stop.
type outgoing struct {
	c   *call
	sum hash.Hash
}

var _ io.Writer = (*outgoing)(nil)

func (o *outgoing) Write(p []byte) (int, error) {
	select {
	case <-o.c.stopping:
		return 0, errUnavailable
	default:
	}
	_ = o.c.rc.SetWriteDeadline(time.Now().Add(backupIdle)) // As in writeDeadline.
	o.c.sent = true
	o.sum.Write(p)
	return o.c.w.Write(p)
}
