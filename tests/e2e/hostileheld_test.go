package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// heldAttacks hold connections open. Where the head of a request has a
// deadline they see that it is kept.
func heldAttacks() []attack {
	hold := func(secured bool, prefix func(*door) (string, time.Duration)) func(context.Context, *door) error {
		return func(ctx context.Context, d *door) error {
			var wg sync.WaitGroup
			errs := make([]error, 12)
			for i := range errs {
				wg.Go(func() {
					text, patience := prefix(d)
					errs[i] = d.wait(ctx, secured, text, patience)
				})
			}
			wg.Wait()
			return errors.Join(errs...)
		}
	}
	return []attack{
		{"connections without a word", overTCP, hold(false, func(d *door) (string, time.Duration) { return "", d.head })},
		{"half a TLS handshake", overTLS, hold(false, func(d *door) (string, time.Duration) {
			return "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", d.head
		})},
		{"half a request", overTCP, hold(true, func(d *door) (string, time.Duration) { return half(d), d.head })},
		{"half a body", isHTTP, hold(true, func(d *door) (string, time.Duration) {
			return "POST / HTTP/1.1\r\nHost: " + d.host + "\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", d.body
		})},
	}
}

// half is the beginning of what is spoken at a door.
func half(d *door) string {
	switch {
	case d.http:
		return "GET / HTTP/1.1\r\nHost: " + d.host + "\r\nX-Half: "
	case d.smtp:
		return "EHLO half.example\r\nMAIL FROM:<half@outside.example>\r\nRCPT TO:<nob"
	}
	return "\x00\x20\x12\x34"
}

// wait holds a connection until the door closes it, which it must after its
// patience.
func (d *door) wait(ctx context.Context, secured bool, text string, patience time.Duration) error {
	dial := d.dial
	if secured {
		dial = d.open
	}
	c, err := dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	start := time.Now()
	c.SetReadDeadline(start.Add(patience + 5*time.Second))
	_, err = io.Copy(io.Discard, c)
	if errors.Is(err, os.ErrDeadlineExceeded) && patience > 0 {
		return fmt.Errorf("the connection is open after %v", time.Since(start).Round(time.Second))
	}
	return nil
}
