package relay_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"leap.example/services/relay"
)

// cpu returns the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSubmit measures a message of 10 KB from MAIL to 250, signed, sealed
// and stored in memory. cpu-ms/op is the processor time, user and system, of
// server and client together. Nothing is delivered.
func BenchmarkSubmit(b *testing.B) {
	body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 126)
	for _, bb := range []struct {
		name   string
		change func(*relay.Config)
	}{
		{"unsigned", func(c *relay.Config) { c.DKIM = nil }},
		{"ed25519", func(c *relay.Config) { c.DKIM = c.DKIM[1:] }},
		{"rsa2048+ed25519", func(*relay.Config) {}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := start(b, bb.change, func(c *relay.Config) {
				c.MessagesPerMinute, c.Burst = 1e9, 1e9
				c.Resolver, c.Retry, c.Poll = "127.0.0.1:1", []string{"1h"}, "1h"
			})
			c := s.client()
			before := cpu(b)
			for b.Loop() {
				if err := c.SendMail("alice@example.org", []string{"carol@nowhere.invalid"}, strings.NewReader(mail("x", body))); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// BenchmarkDeliver measures a message of 10 KB from MAIL to the recipient's
// server, with both signatures; all on one machine.
func BenchmarkDeliver(b *testing.B) {
	body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 126)
	s := start(b, func(c *relay.Config) { c.MessagesPerMinute, c.Burst = 1e9, 1e9 })
	c := s.client()
	before, n := cpu(b), 0
	for b.Loop() {
		n++
		if err := c.SendMail("alice@example.org", []string{"carol@dest.example"}, strings.NewReader(mail("x", body))); err != nil {
			b.Fatal(err)
		}
	}
	s.empty()
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(n), "cpu-ms/op")
}
