package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"leap.example/services/bigcouch"
	"leap.example/services/couch"
	"leap.example/services/mx"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/record"
)

// recipients is how many users the mails go to in turn.
const recipients = 16

// BenchmarkMail measures mails of 10 KB from MAIL to 250: checked, sealed, and
// durable in the databases of their recipients on a disk. Mail server,
// database node, name server and the senders are one process; cpu-ms/op is its
// processor time, user and system, and server-cpu-ms/op is what remains
// without that of the same senders at a server that throws everything away.
//
// "checked" is a message with a signature, SPF and DMARC, and a name server on
// loopback that knows them; "unchecked" is no check at all.
func BenchmarkMail(b *testing.B) {
	letter := newLetter(b)
	resolver := serveDNS(b, letter.zone...)
	sink := startSink(b)
	for _, how := range []string{"unchecked", "checked"} {
		b.Run(how, func(b *testing.B) {
			asked := ""
			if how == "checked" {
				asked = resolver
			}
			office := startOffice(b, asked)
			for _, n := range []int{1, 8, 50} {
				b.Run(fmt.Sprint(n), func(b *testing.B) {
					alone := deliver(b, sink, letter, n)
					b.ResetTimer()
					all := deliver(b, office, letter, n)
					b.StopTimer()
					each := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(b.N) }
					b.ReportMetric(each(all), "cpu-ms/op")
					b.ReportMetric(each(all-alone), "server-cpu-ms/op")
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
				})
			}
		})
	}
}

// deliver sends b.N messages over n connections, and returns the processor
// time that the process used meanwhile.
func deliver(b *testing.B, addr string, l letter, n int) time.Duration {
	b.Helper()
	senders := make([]*sender, n)
	for i := range senders {
		s, err := dialSender(addr)
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		senders[i] = s
		for k := range recipients / n { // The first mail to a user asks for his key.
			if err := s.send(address(i*recipients/n+k), l.text()); err != nil {
				b.Fatal(err)
			}
		}
	}
	var next atomic.Int64
	var group errgroup.Group
	before := processorTime(b)
	for _, s := range senders {
		group.Go(func() error {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := s.send(address(int(i)), l.text()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	return processorTime(b) - before
}

// processorTime returns the processor time that this process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func login(i int) string   { return fmt.Sprintf("user%d", i%recipients) }
func address(i int) string { return login(i) + "@example.org" }

// queue is the incoming queues of all users, as mx sees them.
type queue struct{ dbs *couch.UserDBs }

// AddIncoming implements mx.Queue.
func (q queue) AddIncoming(ctx context.Context, userID string, in record.Incoming) error {
	return q.dbs.Open(userID).AddIncoming(ctx, in)
}

var quiet = slog.New(slog.DiscardHandler)

// startOffice starts a mail server over a database node with its users, and
// returns the address of the mail server.
func startOffice(b *testing.B, resolver string) string {
	b.Helper()
	dir := b.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		return path
	}
	password := file("password", "correct horse\n")
	url := startNode(b, bigcouch.Config{Listen: "127.0.0.1:0", Dir: filepath.Join(dir, "db")}, password)
	open := func(account string) *couch.DB {
		db, err := couch.Open(couch.Config{URLs: []string{url}, User: account, PasswordFile: password}, quiet)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		return db
	}
	admin := open("admin")
	if err := admin.Setup(b.Context()); err != nil {
		b.Fatal(err)
	}
	for i := range recipients {
		id := fmt.Sprintf("%032x", i+1)
		if err := admin.UserDBs().Create(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		if err := admin.Identities().Create(b.Context(), &record.Identity{
			UserID: id, Address: address(i), Destination: address(i), Enabled: true,
			Keys: map[string]record.Key{"openpgp": {Type: "openpgp", Value: newKey(b, address(i))}},
		}); err != nil {
			b.Fatal(err)
		}
	}
	signer, err := envelope.NewSigningKey("mx.example.org", randomness, time.Now().Add(-time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	signing, err := signer.Private()
	if err != nil {
		b.Fatal(err)
	}
	db := open("leap_mx")
	s, err := mx.New(mx.Config{
		Listen: "127.0.0.1:0", Hostname: "mx.example.org", Domains: []string{"example.org"},
		SigningKeyFile: file("signing.asc", signing), QueueSecretFile: file("secret", hex.EncodeToString(make([]byte, 32))),
		SpoolDir: dir, Resolver: resolver, GreetingDelay: "0s",
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}, db.Identities(), queue{db.UserDBs()}, quiet)
	if err != nil {
		b.Fatal(err)
	}
	return serve(b, s.Serve)
}

// startNode starts a database node and returns its URL.
func startNode(b *testing.B, cfg bigcouch.Config, passwordFile string) string {
	b.Helper()
	for name, roles := range couch.Accounts() {
		cfg.Accounts = append(cfg.Accounts, bigcouch.ConfigAccount{Name: name, PasswordFile: passwordFile, Roles: roles, Admin: name == "admin"})
	}
	s, err := bigcouch.New(cfg, quiet)
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + serve(b, s.Serve)
}

// serve runs a server on loopback until the benchmark ends, and returns its
// address.
func serve(b *testing.B, run func(context.Context, net.Listener) error) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, ln) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !strings.Contains(err.Error(), "closed") {
			b.Errorf("a server ended with %v", err)
		}
	})
	return ln.Addr().String()
}
