package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// mailAttacks are those on what speaks SMTP. USER stands for the address of
// somebody who is there.
func mailAttacks(s secrets) []attack {
	const envelope = "EHLO evil.example\r\nMAIL FROM:<evil@outside.example>\r\nRCPT TO:<USER>\r\n"
	const header = "From: evil@outside.example\r\n"
	script := func(parts ...io.Reader) io.Reader {
		return io.MultiReader(append(parts, strings.NewReader("\r\nQUIT\r\n"))...)
	}
	text := func(t string) io.Reader { return strings.NewReader(strings.ReplaceAll(t, "USER", s.user.address)) }
	list := []attack{
		{"STARTTLS with commands behind it", named("mx", "submission"), injectBehindSTARTTLS},
	}
	for name, r := range map[string]func() io.Reader{
		"HTTP":                    func() io.Reader { return text("GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
		"a command of 4 MiB":      func() io.Reader { return script(text("EHLO "), endless("x", 4<<20)) },
		"3000 commands":           func() io.Reader { return script(endless("NOOP\r\n", 18_000)) },
		"3000 unknown recipients": func() io.Reader { return script(text(envelope), endless("RCPT TO:<nobody@x.example>\r\n", 84_000)) },
		"addresses of garbage": func() io.Reader {
			return script(text("EHLO x\r\nMAIL FROM:<\x00\xff@@>\r\nMAIL FROM:<" + strings.Repeat("a", 9000) + "@b>\r\nRCPT TO:<>>\r\n"))
		},
		"a message of 64 MiB": func() io.Reader {
			return script(text(envelope+"DATA\r\n"+header+"\r\n"), endless(strings.Repeat("x", 76)+"\r\n", 64<<20), text("\r\n.\r\n"))
		},
		"a header of 8 MiB": func() io.Reader {
			return script(text(envelope+"DATA\r\n"+header), endless("X-Many: x\r\n", 8<<20), text("\r\n\r\n.\r\n"))
		},
		"a line of 8 MiB": func() io.Reader {
			return script(text(envelope+"DATA\r\n"+header+"\r\n"), endless("x", 8<<20), text("\r\n.\r\n"))
		},
		"a message of NUL octets": func() io.Reader {
			return script(text(envelope+"DATA\r\n"+header+"\r\n"), endless("\x00", 1<<10), text("\r\n.\r\n"))
		},
		"bare line feeds": func() io.Reader {
			return script(text(envelope + "DATA\r\n" + header + "\nbare\n.\nMAIL FROM:<x@y>\r\n.\r\n"))
		},
		"10,000 hops": func() io.Reader {
			return script(text(envelope+"DATA\r\n"+header), endless("Received: x\r\n", 130_000), text("\r\n\r\n.\r\n"))
		},
		"chunks of absurd length": func() io.Reader {
			return script(text(envelope + "BDAT 99999999999999999999\r\nBDAT -1\r\nBDAT 4000000000 LAST\r\nabc"))
		},
		"login with garbage": func() io.Reader {
			return script(text("EHLO x\r\nAUTH PLAIN ====\r\nAUTH PLAIN " + strings.Repeat("A", 9000) + "\r\nAUTH EXTERNAL\r\n*\r\nAUTH X\r\n"))
		},
		"letters of no one's input": func() io.Reader { return bytes.NewReader(junk(32 << 10)) },
	} {
		list = append(list, attack{name, isSMTP, func(ctx context.Context, d *door) error {
			c, err := d.open(ctx)
			if err != nil {
				return err
			}
			reply, _ := exchange(c, r())
			if bytes.Contains(reply, []byte("Taken as")) || bytes.Contains(reply, []byte("Queued as")) {
				return fmt.Errorf("a message was taken: %q", reply)
			}
			return nil
		}})
	}
	return list
}

// injectBehindSTARTTLS sends commands in clear text behind STARTTLS, in the
// same segment. They must not count inside TLS.
func injectBehindSTARTTLS(ctx context.Context, d *door) error {
	c, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "EHLO evil.example\r\nSTARTTLS\r\nMAIL FROM:<evil@outside.example>\r\nEHLO again.example\r\n"); err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	var seen []byte
	buf := make([]byte, 1)
	for !bytes.HasSuffix(seen, []byte("\r\n220 ")) && !bytes.Contains(seen, []byte("\r\n5")) {
		if _, err := io.ReadFull(c, buf); err != nil {
			return nil // Cut off: that is a good answer.
		}
		seen = append(seen, buf...)
	}
	for buf[0] != '\n' {
		if _, err := io.ReadFull(c, buf); err != nil {
			return nil
		}
	}
	secured := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	if secured.HandshakeContext(ctx) != nil {
		return nil // The server took the commands for TLS.
	}
	secured.SetReadDeadline(time.Now().Add(time.Second))
	if n, _ := io.ReadFull(secured, buf); n > 0 {
		return errors.New("a command from before TLS was answered inside")
	}
	return nil
}

// nameAttacks are those on the name server.
func nameAttacks() []attack {
	return []attack{
		{"20,000 packets of garbage", overUDP, func(ctx context.Context, d *door) error { return packets(ctx, d) }},
		{"messages of absurd length", dnsTCP, func(ctx context.Context, d *door) error {
			for _, m := range []string{"\x00\x00", "\xff\xff" + string(junk(100)), "\x00\x0c" + string(junk(12)), "\x00\x01x", "\x02\x00" + string(junk(512))} {
				c, err := d.dial(ctx)
				if err != nil {
					return err
				}
				exchange(c, endless(m, 200*len(m)))
			}
			return nil
		}},
	}
}

// packets sends what is not quite a query.
func packets(ctx context.Context, d *door) error {
	q := new(dns.Msg)
	q.SetQuestion("mx.demo.example.", dns.TypeANY)
	sound, err := q.Pack()
	if err != nil {
		return err
	}
	for i := range 20_000 {
		if i%2000 == 0 && ctx.Err() != nil {
			return nil
		}
		c, err := udp(d.addr)
		if err != nil {
			return err
		}
		var p []byte
		switch i % 8 {
		case 0:
			p = junk(1 + i%1400)
		case 1:
			p = sound[:i%len(sound)]
		case 2:
			p = append(bytes.Clone(sound), junk(i%1000)...)
		case 3:
			p = bytes.Clone(sound)
			p[4], p[5] = 0xff, 0xff // Questions.
		case 4:
			p = append(bytes.Clone(sound[:12]), 0xc0, 0x0c, 0, 1, 0, 1) // A name that points to itself.
		case 5:
			p = bytes.Clone(sound)
			p[2] |= 0x80 // An answer.
		case 6:
			p = append(bytes.Clone(sound[:12]), bytes.Repeat([]byte{63}, 400)...)
		case 7:
			p = bytes.Clone(sound)
			p[i%len(p)] ^= byte(i)
		}
		c.Write(p) // Whether it arrives or not.
		c.Close()
	}
	return nil
}
