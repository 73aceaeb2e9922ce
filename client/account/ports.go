package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"

	"leap.example/client/durable"
	"leap.example/services/protocol/problem"
)

// LEAP's ports of the local proxies (leap-protocols.md 8.3): taken if they are
// free when the account is first unlocked, and if Config.UsualPorts says so.
// Other accounts take ports at random, below those that the system gives to
// outgoing connections: nobody else is there the next time.
const (
	imapPort = 1984
	smtpPort = 2013

	lowPort   = 20000
	highPort  = 32768
	portTries = 50
)

// device is the file device.json.
type device struct {
	Version int `json:"version"` // 1.
	IMAP    int `json:"imap_port"`
	SMTP    int `json:"smtp_port"`
}

// listen opens the two proxies' listeners, on the ports that mail programs
// were once told.
func (a *Account) listen(ctx context.Context) (imap, smtp net.Listener, err error) {
	var d device
	data, err := os.ReadFile(a.path("device.json"))
	known := err == nil
	if known {
		if err := json.Unmarshal(data, &d); err != nil || d.Version != 1 {
			return nil, nil, problem.Invalid.Errorf("%s is damaged: remove it; mail programs must then be set up anew (leapc mail)", a.path("device.json"))
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	if imap, err = a.port(ctx, d.IMAP, imapPort, known); err != nil {
		return nil, nil, err
	}
	if smtp, err = a.port(ctx, d.SMTP, smtpPort, known); err != nil {
		return nil, nil, errors.Join(err, imap.Close())
	}
	if known {
		return imap, smtp, nil
	}
	d = device{Version: 1, IMAP: imap.Addr().(*net.TCPAddr).Port, SMTP: smtp.Addr().(*net.TCPAddr).Port}
	if data, err = json.Marshal(d); err == nil {
		err = durable.Replace(a.path("device.json"), data)
	}
	if err != nil {
		return nil, nil, errors.Join(err, imap.Close(), smtp.Close())
	}
	return imap, smtp, nil
}

// port opens the port that is known, or the usual one, or any.
func (a *Account) port(ctx context.Context, n, usual int, known bool) (net.Listener, error) {
	if known {
		ln, err := loopback(ctx, n)
		if err != nil {
			return nil, problem.Unavailable.Errorf("port %d, which your mail program uses, is taken by another program: end it, then log in again", n)
		}
		return ln, nil
	}
	if a.cfg.UsualPorts {
		if ln, err := loopback(ctx, usual); err == nil {
			return ln, nil
		}
	}
	for range portTries {
		if ln, err := loopback(ctx, lowPort+rand.IntN(highPort-lowPort)); err == nil {
			return ln, nil
		}
	}
	return loopback(ctx, 0)
}

func loopback(ctx context.Context, port int) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
}
