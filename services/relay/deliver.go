package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/emersion/go-smtp"

	"leap.example/services/relay/route"
)

// taken is the reply of a server that has the message.
const taken = 250

// A result is what became of one recipient.
type result struct {
	code   int    // Of SMTP; 0: there was no reply.
	status string // RFC 3463.
	text   string
	remote string
}

// final reports whether another attempt is of no use.
func (r result) final() bool { return r.code/100 == 5 || r.code == 0 && r.status[0] == '5' }

// resultOf returns the result that an error means.
func resultOf(err error, remote string) result {
	if e, ok := errors.AsType[*smtp.SMTPError](err); ok {
		class := e.Code / 100
		if class != 4 && class != 5 {
			return result{0, "4.5.0", "the server said what it must not say", remote}
		}
		status := fmt.Sprintf("%d.0.0", class)
		if e.EnhancedCode[0] == class {
			status = fmt.Sprintf("%d.%d.%d", e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2])
		}
		return result{e.Code, status, e.Message, remote}
	}
	if d, ok := errors.AsType[*route.Dead](err); ok {
		return result{0, d.Status, d.Text, remote}
	}
	return result{0, "4.4.1", "no connection to the server", remote}
}

// A hop is one place to hand mail over to.
type hop struct {
	address string // host:port.
	name    string
	tls     *tls.Config
	must    bool // Not without TLS.
}

// hops are the places that Config names.
type hops struct{ mx, smarthost *hop }

func (s *Server) readHops() (h hops, err error) {
	if h.mx, err = readHop(s.cfg.MX); err != nil {
		return h, err
	}
	h.smarthost, err = readHop(s.cfg.Smarthost)
	return h, err
}

func readHop(c ConfigHop) (*hop, error) {
	if c.Address == "" {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, err
	}
	h := &hop{c.Address, c.Name, nil, false}
	if h.name == "" {
		h.name = host
	}
	h.tls = opportunistic(h.name)
	if c.CAFile != "" {
		roots, err := readCA(c.CAFile)
		if err != nil {
			return nil, err
		}
		h.tls, h.must = &tls.Config{RootCAs: roots, ServerName: h.name, MinVersion: tls.VersionTLS12}, true
	}
	return h, nil
}

// opportunistic TLS takes whatever certificate there is, RFC 7435: it keeps out
// those who only listen.
func opportunistic(name string) *tls.Config {
	return &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
}

// places returns where to try, in this order. The error is a *route.Dead or
// temporary.
func (c *courier) places(ctx context.Context, domain string) ([]hop, error) {
	if c.cfg.local(domain) && c.hops.mx != nil {
		return []hop{*c.hops.mx}, nil
	}
	if !c.cfg.local(domain) && c.hops.smarthost != nil {
		return []hop{*c.hops.smarthost}, nil
	}
	hosts, err := c.routes.Hosts(ctx, domain)
	if err != nil {
		return nil, err
	}
	var list []hop
	for _, h := range hosts {
		address := net.JoinHostPort(h.Addr.String(), strconv.Itoa(c.cfg.ForeignPort))
		list = append(list, hop{address, h.Name, opportunistic(h.Name), false})
	}
	return list, nil
}

// deliver hands the message over to the first place that answers, and returns
// a result for each recipient.
func (c *courier) deliver(ctx context.Context, t task, text []byte) []result {
	places, err := c.places(ctx, t.Domain)
	if err != nil {
		return all(t, resultOf(err, ""))
	}
	var last result
	for _, p := range places {
		results, err := c.handOver(ctx, p, t, text)
		if err == nil {
			return results
		}
		c.log.Debug("no connection", "domain", t.Domain, "place", p.name, "err", err)
		// A host that refuses to talk does not speak for its domain.
		last = resultOf(err, p.name)
		if last.final() {
			last.code, last.status = 0, "4.4.1"
		}
	}
	return all(t, last)
}

// all returns the same result for each recipient.
func all(t task, r result) []result {
	list := make([]result, len(t.To))
	for i := range list {
		list[i] = r
	}
	return list
}

// handOver makes one SMTP transaction. Its error means that it did not come to
// one.
func (c *courier) handOver(ctx context.Context, p hop, t task, text []byte) ([]result, error) {
	client, closeClient, err := c.connect(ctx, p)
	if err != nil {
		return nil, err
	}
	defer closeClient()
	if size, ok := client.MaxMessageSize(); ok && size > 0 && size < len(text) {
		return all(t, result{0, "5.3.4", "the message is too large for the server", p.name}), nil
	}
	if ok, _ := client.Extension("SMTPUTF8"); t.UTF8 && !ok {
		return all(t, result{0, "5.6.7", "the server does not take addresses or headers beyond ASCII", p.name}), nil
	}
	if err := client.Mail(t.From, &smtp.MailOptions{Size: int64(len(text)), UTF8: t.UTF8}); err != nil {
		return all(t, resultOf(err, p.name)), nil
	}
	results := all(t, result{})
	var accepted []int
	for i, to := range t.To {
		if err := client.Rcpt(to, nil); err != nil {
			results[i] = resultOf(err, p.name)
			continue
		}
		accepted = append(accepted, i)
	}
	if len(accepted) == 0 {
		return results, nil
	}
	outcome := result{taken, "2.0.0", "", p.name}
	if err := send(client, text); err != nil {
		outcome = resultOf(err, p.name)
	}
	for _, i := range accepted {
		results[i] = outcome
	}
	return results, nil // The caller records it before anything else: no QUIT here.
}

// send sends the message and waits for the reply to it.
func send(client *smtp.Client, text []byte) error {
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	return w.Close()
}
