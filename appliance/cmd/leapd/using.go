package main

import (
	"context"
	"errors"

	"leap.example/services/couch"
	"leap.example/services/daemon"
)

// A checked service is what every role is.
type checked interface {
	daemon.Service
	daemon.Checker
}

// A user of the database is a service together with its door to the database,
// which is closed when the service has stopped for good.
type user struct {
	checked
	db *couch.DB
}

// using returns s as the user of db, or err after closing db.
func using(db *couch.DB, s checked, err error) (daemon.Service, error) {
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return user{s, db}, nil
}

// Run implements daemon.Service.
func (u user) Run(ctx context.Context) error {
	err := u.checked.Run(ctx)
	if ctx.Err() == nil {
		return err // It will be run again.
	}
	return errors.Join(err, u.db.Close())
}
