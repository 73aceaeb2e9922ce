package soledad

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

const (
	defaultWait = 60  // Seconds.
	maxWait     = 300 // Seconds.
	maxQueue    = 1000
)

// notify answers as soon as the database is past a generation or its incoming
// queue has another length than the client knows: client.md 4.4. Lengths are
// counted up to 1000. A server that stops does not wait for devices that wait.
func (s *Server) notify(stop context.Context, c *call) error {
	q := c.URL.Query()
	gen, err1 := number(q.Get("generation"), 0, 1<<53)
	wait, err2 := number(q.Get("wait"), defaultWait, maxWait)
	known, err3 := number(q.Get("incoming"), -1, 1<<53)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	free, err := s.waiters.take(c.user)
	if err != nil {
		return err
	}
	defer free()
	d := time.Duration(wait) * time.Second
	ctx, cancel := context.WithTimeout(c.Context(), d)
	defer cancel()
	defer context.AfterFunc(stop, cancel)()
	notice, err := s.watch(ctx, c.user, gen, known)
	switch {
	case c.Context().Err() != nil:
		return errClient
	case ctx.Err() != nil && err != nil:
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	case err != nil:
		return err
	}
	return c.json(http.StatusOK, notice)
}

// watch returns when there is something to tell. known < 0: the queue does not
// matter.
func (s *Server) watch(ctx context.Context, user string, gen, known int) (u1db.Notice, error) {
	db := s.stores.Open(user) // Opened before it is looked at: no change is missed.
	for {
		_, now, trans, err := info(ctx, db)
		if err != nil {
			return u1db.Notice{}, err
		}
		waiting, err := db.Incoming(ctx, maxQueue)
		if err != nil {
			return u1db.Notice{}, err
		}
		if now > gen || known >= 0 && len(waiting) != min(known, maxQueue) {
			return u1db.Notice{Generation: now, TransactionID: trans, Incoming: len(waiting)}, nil
		}
		if err := db.Wait(ctx); err != nil {
			return u1db.Notice{}, err
		}
	}
}

// number reads a decimal number from 0 to limit, "" as otherwise.
func number(s string, otherwise, limit int) (int, error) {
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, problem.Invalid.Errorf("a parameter is no number")
	}
	return min(n, limit), nil
}
