package check

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/u1db"
)

// againAfter is how long what takes effect a little later is waited for between two
// questions: the database of a new account, its key, its mail.
const againAfter = 500 * time.Millisecond

// storage has every node with soledad that is looked at give the account its own
// database, and nobody else's.
func (c *checker) storage(ctx context.Context, a *account) {
	for _, s := range c.others("soledad") {
		site, err := s.accountSite(compile.PortSoledad)
		if err == nil {
			_, err = a.queue(ctx, site)
		}
		if err == nil {
			var status int
			if status, _, err = site.do(ctx, http.MethodGet, "/user-"+someUser+"/incoming", "", a.keeper()); err == nil && status != http.StatusForbidden && status != http.StatusUnauthorized {
				err = fmt.Errorf("somebody else's database answers it with status %d instead of %d", status, http.StatusForbidden)
			}
		}
		s.judge("account.soledad", err, "it gives an account its own database, and no other", s.logs("soledad"))
		c.list = append(c.list, s.list...)
	}
}

// post sends the account a mail by every node with mx that is looked at, as another
// provider would, and waits until it lies in the account's database, as one of the
// nodes with soledad says: there has to be one.
func (c *checker) post(ctx context.Context, a *account) {
	site, err := c.others("soledad")[0].accountSite(compile.PortSoledad)
	if err != nil {
		return // storage has said so.
	}
	for _, m := range c.others("mx") {
		before, err := a.queue(ctx, site)
		if err != nil {
			return // The same.
		}
		err = again(ctx, func() error { return m.deliver(ctx, a) })
		if later, told := errors.AsType[*textproto.Error](err); told && later.Code/100 == 4 {
			m.add("account.mail", node.CheckWarn, "it puts mail for an account off: "+later.Error(), m.logs("mx"))
		} else {
			if err == nil {
				err = again(ctx, func() error {
					now, err := a.queue(ctx, site)
					if err == nil && len(now) <= len(before) {
						err = errors.New("a mail that it has taken is not in the account's database")
					}
					return err
				})
			}
			m.judge("account.mail", err, "a mail for an account has arrived", m.logs("mx"))
		}
		c.list = append(c.list, m.list...)
	}
}

// again repeats what does not go well yet, until it does or ctx ends, and returns the
// last error. What was refused for good is not repeated.
func again(ctx context.Context, f func() error) (last error) {
	for {
		err := f()
		if refused, told := errors.AsType[*textproto.Error](err); err == nil || told && refused.Code/100 == 5 {
			return err
		}
		if last == nil || ctx.Err() == nil { // What the end of ctx broke off says nothing.
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(againAfter):
		}
	}
}

// others are checkers for all nodes of the environment that are looked at and have
// a service.
func (c *checker) others(service string) (list []*checker) {
	for _, t := range c.all {
		if t.Node.Environment == c.Node.Environment && t.Node.Has(service) {
			list = append(list, &checker{Options: c.Options, Target: t, all: c.all})
		}
	}
	return list
}

// accountSite is a port of the node, under its own name.
func (c *checker) accountSite(port uint16) (*site, error) {
	roots, err := c.own()
	if err != nil {
		return nil, err
	}
	return c.newSite(c.Instance.FullName(c.Node), port, roots), nil
}

// keeper is how the account proves itself to soledad (leap-protocols.md 7.1).
func (a *account) keeper() http.Header {
	return http.Header{"Authorization": {"Token " + base64.StdEncoding.EncodeToString([]byte(a.id+":"+a.token))}}
}

// queue is the mail that waits in the account's database. The database of a new
// account may come a moment later.
func (a *account) queue(ctx context.Context, s *site) (list []u1db.QueueEntry, err error) {
	err = again(ctx, func() error {
		status, body, err := s.do(ctx, http.MethodGet, "/user-"+a.id+"/incoming", "", a.keeper())
		switch {
		case err != nil:
			return err
		case status != http.StatusOK:
			return fmt.Errorf("the account's own database answers it with status %d: %s", status, shown(body))
		}
		return json.Unmarshal(body, &list)
	})
	return list, err
}

// publish makes an OpenPGP key for the account, without which it gets no mail. The
// private half is forgotten.
func (a *account) publish(ctx context.Context) error {
	e, err := openpgp.NewEntity("", "", a.login+"@"+a.domain, &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA256})
	if err != nil {
		return err
	}
	var text strings.Builder
	w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
	if err == nil {
		err = errors.Join(e.Serialize(w), w.Close())
	}
	if err != nil {
		return err
	}
	key := text.String()
	return a.ask(ctx, http.MethodPut, "/1/users/"+a.id, bonafide.UpdateUserRequest{PublicKey: &key}.Encode(), a.header(), nil)
}

// deliver brings a mail for the account to the node, and returns once it is taken.
func (c *checker) deliver(ctx context.Context, a *account) error {
	client, err := c.mail(ctx, c.Instance.FullName(c.Node), compile.PortMX)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // What mattered was said.
	if err := client.Mail(""); err != nil {
		return err
	}
	to := a.login + "@" + a.domain
	if err := client.Rcpt(to); err != nil {
		return err
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "From: <test@%s>\r\nTo: <%s>\r\nSubject: test\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\n\r\nleap test\r\n",
		greeting, to, c.Now.Format(time.RFC1123Z), token(), greeting)
	return errors.Join(err, w.Close())
}
