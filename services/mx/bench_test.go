package mx_test

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"leap.example/services/mx"
)

// cpu returns the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkTake measures a message of 10 KB from MAIL to 250: checked, sealed,
// appended to a queue in memory. cpu-ms/op is the processor time, user and
// system, of server, name server and client together.
func BenchmarkTake(b *testing.B) {
	resolver := serveDNS(b, `example.net. TXT "v=spf1 ip4:127.0.0.1 -all"`, `_dmarc.example.net. TXT "v=DMARC1; p=reject"`)
	for name, asked := range map[string]string{"unchecked": "", "checked": resolver} {
		b.Run(name, func(b *testing.B) {
			s := start(b, func(c *mx.Config) {
				c.Resolver = asked
				c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			})
			body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 126)
			c, err := smtp.Dial(s.addr)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			before := cpu(b)
			for i := 0; b.Loop(); i++ {
				if err := c.SendMail("carol@example.net", []string{"alice@example.org"}, strings.NewReader(mail(fmt.Sprint(i), body))); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}
