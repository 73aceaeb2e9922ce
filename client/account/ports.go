package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"leap.example/services/protocol/problem"
)

// LEAP's ports of the local proxies (leap-protocols.md 8.3): taken if they are
// free when the account is first unlocked.
const (
	imapPort = 1984
	smtpPort = 2013
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
	if imap, err = port(ctx, d.IMAP, imapPort, known); err != nil {
		return nil, nil, err
	}
	if smtp, err = port(ctx, d.SMTP, smtpPort, known); err != nil {
		return nil, nil, errors.Join(err, imap.Close())
	}
	if known {
		return imap, smtp, nil
	}
	d = device{Version: 1, IMAP: imap.Addr().(*net.TCPAddr).Port, SMTP: smtp.Addr().(*net.TCPAddr).Port}
	if data, err = json.Marshal(d); err == nil {
		err = replace(a.path("device.json"), data)
	}
	if err != nil {
		return nil, nil, errors.Join(err, imap.Close(), smtp.Close())
	}
	return imap, smtp, nil
}

// port opens the port that is known, or the usual one, or any.
func port(ctx context.Context, n, usual int, known bool) (net.Listener, error) {
	var lc net.ListenConfig
	if known {
		ln, err := lc.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", n))
		if err != nil {
			return nil, problem.Unavailable.Errorf("port %d, which your mail program uses, is taken by another program: end it, then log in again", n)
		}
		return ln, nil
	}
	if ln, err := lc.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", usual)); err == nil {
		return ln, nil
	}
	return lc.Listen(ctx, "tcp", "127.0.0.1:0")
}
