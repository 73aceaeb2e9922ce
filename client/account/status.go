package account

import (
	"context"
	"errors"

	"leap.example/client/control"
	"leap.example/client/session"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// Status implements control.Backend.
func (a *Account) Status(ctx context.Context) control.Status {
	st := control.Status{Schema: control.Schema, State: control.StateNoProvider}
	p, err := a.load()
	if err != nil {
		if !errors.Is(err, problem.NotExist) {
			st.Problem = err.Error()
		}
		return st
	}
	st.Provider, st.State = p.Document().Domain, control.StateNoAccount
	v, err := session.OpenVault(a.path("vault.json"))
	if err != nil {
		if !errors.Is(err, problem.NotExist) {
			st.Problem = err.Error()
		}
		return st
	}
	st.Address, st.State = v.Owner().Login+"@"+v.Owner().Domain, control.StateLocked
	// When it is locked, or is being locked, what is known is all there is to say.
	_ = a.use(ctx, func(ctx context.Context, u *unlocked) error {
		u.status(ctx, &st)
		return nil
	})
	return st
}

func (u *unlocked) status(ctx context.Context, st *control.Status) {
	u.mu.Lock()
	r := u.report
	u.mu.Unlock()
	st.State, st.Device, st.Incoming = control.StateOnline, u.store.Replica(), r.incoming
	if !r.at.IsZero() {
		st.LastSync = &r.at
	}
	if r.err != nil || r.at.IsZero() {
		st.State = control.StateOffline
	}
	if r.err != nil {
		st.Problem = advice(r.err).Error()
	}
	var err error
	if st.Pending, err = u.store.Pending(ctx); err != nil {
		st.Problem = err.Error()
	}
	if st.Outbox, err = u.smtp.Waiting(ctx); err != nil {
		st.Problem = err.Error()
	}
	if own, err := u.keys.Own(ctx); err == nil { // Before the first sync there is none.
		st.Fingerprint = own.Fingerprint()
	}
}

// Mail implements control.Backend.
func (a *Account) Mail(ctx context.Context) (m control.MailSettings, err error) {
	err = a.use(ctx, func(_ context.Context, u *unlocked) error {
		s := u.settings
		server := func(port int) control.MailServer {
			return control.MailServer{Host: "127.0.0.1", Port: port, Security: "none"}
		}
		m = control.MailSettings{
			Schema: control.Schema, Address: string(s.address), Username: string(s.address), Password: s.password,
			IMAP: server(s.imap), SMTP: server(s.smtp),
		}
		return nil
	})
	return m, err
}

// Keys implements control.Backend.
func (a *Account) Keys(ctx context.Context) ([]control.Key, error) {
	keys := []control.Key{}
	err := a.use(ctx, func(ctx context.Context, u *unlocked) error {
		list, err := u.keys.List(ctx)
		for _, e := range list {
			keys = append(keys, control.Key{Address: string(e.Address), Fingerprint: e.Fingerprint, Level: e.Level.String(), Own: e.Own})
		}
		return err
	})
	return keys, err
}

// FindKey implements control.Backend.
func (a *Account) FindKey(ctx context.Context, address string) (k control.Key, err error) {
	addr, err := nick.ParseAddress(address)
	if err != nil {
		return k, err
	}
	err = a.use(ctx, func(ctx context.Context, u *unlocked) error {
		if addr.Base() == u.settings.address {
			own, err := u.keys.Own(ctx)
			if err == nil {
				k = control.Key{
					Address: string(addr), Fingerprint: own.Fingerprint(), Level: nick.Compared.String(), Own: true, Armored: own.Public(),
				}
			}
			return err
		}
		key, level, err := u.keys.Find(ctx, addr)
		if err == nil {
			k = control.Key{Address: string(addr), Fingerprint: key.Fingerprint, Level: level.String(), Armored: key.Armored}
		}
		return err
	})
	return k, err
}

// Sync implements control.Backend.
func (a *Account) Sync(ctx context.Context) (r control.SyncResult, err error) {
	err = a.use(ctx, func(ctx context.Context, u *unlocked) error {
		res, _, mails, err := u.exchangeOnce(ctx)
		if err != nil {
			return advice(err)
		}
		u.wake()
		r = control.SyncResult{
			Schema: control.Schema, Sent: res.Pushed, Received: res.Pulled, Mails: mails, Quarantined: res.Quarantined,
		}
		return nil
	})
	return r, err
}
