package receiver_test

import (
	"fmt"
	"math/rand/v2"
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
	rng := rand.New(rand.NewPCG(1, 2))
	prose := func() string {
		var b strings.Builder
		for b.Len() < 10000 {
			word := rand.New(rand.NewPCG(7, uint64(rng.ExpFloat64()*1500)))
			for range 2 + word.IntN(9) {
				b.WriteByte("etaoinshrdlucmfwypvbgkjqxz"[min(25, int(word.ExpFloat64()*6))])
			}
			b.WriteString(map[bool]string{true: " ", false: "\r\n"}[b.Len()%70 > 8])
		}
		return b.String()
	}
	n := 0
	for b.Loop() {
		b.StopTimer()
		for i := range 128 {
			body := fmt.Sprintf("Content-Type: text/plain\r\n\r\n%d %s\r\n", n+i, prose())
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
