package receiver_test

import (
	"fmt"
	"strings"
	"testing"

	"leap.example/client/mailmime/pgpmime"
	"leap.example/services/protocol/envelope"
)

// BenchmarkDrain takes 10 KB messages, half of them encrypted by their sender,
// from a real queue over loopback HTTP into the store, with index, exchange
// and removal. The provider is in the same process and on the same cores.
func BenchmarkDrain(b *testing.B) {
	p := newProvider(b)
	d := p.device(b)
	ann := newPerson(b, p.dir, "ann@far.example")
	p.dir.publish(ann.addr, ann.key)
	own, err := d.keys.Own(b.Context())
	check(b, err)
	var text strings.Builder
	for i := range 1300 {
		fmt.Fprintf(&text, "word%d ", i*i%5000)
	}
	n := 0
	for b.Loop() {
		b.StopTimer()
		for i := range 128 {
			body := fmt.Sprintf("Content-Type: text/plain\r\n\r\n%d %s\r\n", n+i, text.String())
			raw := "From: ann@far.example\r\nSubject: s\r\n" + body
			if i%2 == 0 {
				raw = string(pgpmime.Encrypt(header("From", "ann@far.example", "Subject", "[...]"), ann.encrypt(b, body, own.Key())))
			}
			p.deliver(b, envelope.Header{}, raw)
		}
		n += 128
		b.StartTimer()
		if done, _ := d.drain(b); done != 128 {
			b.Fatalf("drained %d", done)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
}
