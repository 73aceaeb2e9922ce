package relay_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"leap.example/services/mx"
	mxtest "leap.example/services/mx/storetest"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/record"
	"leap.example/services/relay"
)

// TestOwnHouse sends a mail of alice's through the relay and the real MX to
// bob's queue. The provider's domain wants forgeries refused; the relay is not
// in its SPF record, so that the DKIM signature alone speaks for alice.
func TestOwnHouse(t *testing.T) {
	o := theOffice()
	resolver := serveDNS(t, append(o.dkimRecords(), `example.org. TXT "v=spf1 -all"`, `_dmarc.example.org. TXT "v=DMARC1; p=reject; adkim=s"`)...)
	key := must(openpgp.NewEntity("", "", "bob@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return time.Now().Add(-time.Hour) }}))
	var public, private bytes.Buffer
	w := must(armor.Encode(&public, openpgp.PublicKeyType, nil))
	if err := errors.Join(key.Serialize(w), w.Close(), key.SerializePrivateWithoutSigning(&private, nil)); err != nil {
		t.Fatal(err)
	}
	signer := must(envelope.NewSigningKey("mx.example.org", rand.Reader, time.Now().Add(-time.Hour)))
	queue := mxtest.NewQueue()

	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	s := start(t, func(c *relay.Config) { c.MX.Address = ln.Addr().String() })
	cfg := mx.Config{
		Listen: "127.0.0.1:0", Hostname: "mx.example.org", Domains: []string{"example.org"}, Resolver: resolver, GreetingDelay: "0s",
		CertFile: s.cfg.CertFile, KeyFile: s.cfg.KeyFile, QueueSecretFile: s.cfg.QueueKeyFile,
		SigningKeyFile: s.file("signing", []byte(must(signer.Private()))),
	}
	ids := mxtest.NewIdentities(record.Identity{
		Address: "bob@example.org", UserID: bob, Enabled: true, Keys: map[string]record.Key{"openpgp": {Type: "openpgp", Value: public.String()}},
	})
	srv := must(mx.New(cfg, ids, queue, slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- srv.Serve(ctx, ln) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()

	s.submit(mail("inside", "word\r\n.\r\nend"), "Bob+x@example.org")
	s.empty()
	entries := queue.Entries(bob)
	if len(entries) != 1 {
		t.Fatalf("bob has %d entries, want 1\n%s", len(entries), s.log)
	}
	h, raw, err := envelope.Open(entries[0].Body, private.Bytes(), []string{must(signer.Public())})
	if err != nil {
		t.Fatal(err)
	}
	if h.From != "alice@example.org" || h.To != "bob+x@example.org" || h.SPF != "fail" || h.DKIM != "pass" || h.DMARC != "pass" || h.TLS == "" || h.HELO != "smtp.example.org" {
		t.Errorf("envelope %+v", h)
	}
	if !strings.HasSuffix(string(raw), "\r\nSubject: inside\r\n\r\nword\r\n.\r\nend\r\n") {
		t.Errorf("message\n%s", raw)
	}
}
