package main

import (
	"context"
	"errors"
	"log/slog"

	"leap.example/services/bigcouch"
	"leap.example/services/ca"
	"leap.example/services/couch"
	"leap.example/services/daemon"
	"leap.example/services/dns"
	"leap.example/services/mx"
	"leap.example/services/nickserver"
	"leap.example/services/protocol/record"
	"leap.example/services/relay"
	"leap.example/services/soledad"
	"leap.example/services/tapicero"
	"leap.example/services/webapp"
)

// services returns every service that this binary contains, by the name it has
// in the node document. Wiring is written here once, for run and for dev.
func services() map[string]daemon.Builder {
	return map[string]daemon.Builder{
		"bigcouch":   buildBigcouch,
		"ca":         buildCA,
		"couchsetup": buildCouchsetup,
		"dns":        buildDNS,
		"gateway":    buildGateway,
		"mx":         buildMX,
		"nickserver": buildNickserver,
		"relay":      buildRelay,
		"soledad":    buildSoledad,
		"tapicero":   buildTapicero,
		"webapp":     buildWebapp,
	}
}

// open reads the section "couch" and opens the database with that account.
func open(c *daemon.Config, log *slog.Logger) (*couch.DB, error) {
	var cfg couch.Config
	if err := c.Section("couch", &cfg); err != nil {
		return nil, err
	}
	return couch.Open(cfg, log)
}

func buildBigcouch(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
	var cfg bigcouch.Config
	if err := c.Section("bigcouch", &cfg); err != nil {
		return nil, err
	}
	return bigcouch.New(cfg, log)
}

func buildDNS(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
	var cfg dns.Config
	if err := c.Section("dns", &cfg); err != nil {
		return nil, err
	}
	return dns.New(cfg, log)
}

func buildCouchsetup(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
	db, err := open(c, log)
	if err != nil {
		return nil, err
	}
	return using(db, couch.NewKeeper(db, log), nil)
}

func buildCA(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
	var cfg ca.Config
	db, err := open(c, log)
	if err = errors.Join(err, c.Section("ca", &cfg)); err != nil {
		return nil, err
	}
	s, err := ca.New(cfg, db.Certificates(), log)
	return using(db, s, err)
}

func buildTapicero(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
	var cfg tapicero.Config
	db, err := open(c, log)
	if err = errors.Join(err, c.Section("tapicero", &cfg)); err != nil {
		return nil, err
	}
	s, err := tapicero.New(cfg, db.Users(), db.UserDBs(), db.State("tapicero"), log)
	return using(db, s, err)
}

func buildNickserver(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
	var cfg nickserver.Config
	db, err := open(c, log)
	if err = errors.Join(err, c.Section("nickserver", &cfg)); err != nil {
		return nil, err
	}
	s, err := nickserver.New(cfg, db.Identities(), nil, log)
	return using(db, s, err)
}

func buildWebapp(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
	var cfg webapp.Config
	db, err := open(c, log)
	if err = errors.Join(err, c.Section("webapp", &cfg)); err != nil {
		return nil, err
	}
	s, err := webapp.New(cfg, webapp.Stores{
		Users: db.Users(), Identities: db.Identities(), Tokens: db.Tokens(), Sessions: db.Sessions(), Invites: db.Invites(),
		Messages: db.Messages(), Tickets: db.Tickets(), Certificates: db.Certificates(),
	}, log)
	return using(db, s, err)
}

func buildSoledad(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
	var cfg soledad.Config
	db, err := open(c, log)
	if err = errors.Join(err, c.Section("soledad", &cfg)); err != nil {
		return nil, err
	}
	dbs := db.UserDBs()
	s, err := soledad.New(cfg, soledad.Stores{
		Tokens: db.Tokens(), Shared: db.Shared(),
		Open: func(userID string) soledad.UserDB { return dbs.Open(userID) },
	}, log)
	return using(db, s, err)
}

func buildMX(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
	var cfg mx.Config
	db, err := open(c, log)
	if err = errors.Join(err, c.Section("mx", &cfg)); err != nil {
		return nil, err
	}
	s, err := mx.New(cfg, db.Identities(), queue{db.UserDBs()}, log)
	return using(db, s, err)
}

// queue is the incoming queues of all users, as mx sees them.
type queue struct{ dbs *couch.UserDBs }

// AddIncoming implements mx.Queue.
func (q queue) AddIncoming(ctx context.Context, userID string, in record.Incoming) error {
	return q.dbs.Open(userID).AddIncoming(ctx, in)
}

// Size returns how many bytes a user's database takes, for mx.Config.Quota.
func (q queue) Size(ctx context.Context, userID string) (int64, error) {
	return q.dbs.Open(userID).Size(ctx)
}

func buildRelay(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
	var cfg relay.Config
	db, err := open(c, log)
	if err = errors.Join(err, c.Section("relay", &cfg)); err != nil {
		return nil, err
	}
	s, err := relay.New(cfg, db.Identities(), db.Tokens(), db.Outbound(), log)
	return using(db, s, err)
}
