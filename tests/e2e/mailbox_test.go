package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/gopenpgp/v3/crypto"

	"leap.example/services/couch"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/tests/e2e/process"
)

// A mailbox is a user without a program: an address with a key, and a queue.
type mailbox struct {
	id, address string
	token       string // Of a session.
	private     []byte
	signer      string            // The key by which the MX signs.
	opened      map[string]string // Letters by the entry of the queue.
}

// newMailbox makes a user.
func newMailbox(t *testing.T, db *couch.DB, address, signerFile string) *mailbox {
	t.Helper()
	signer, err := os.ReadFile(signerFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := crypto.PGP().KeyGeneration().AddUserId("", address).New().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.GetArmoredPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	local, _, _ := strings.Cut(address, "@")
	m := &mailbox{
		id: fmt.Sprintf("%032x", local)[:32], address: address, token: "token-of-" + local, private: private,
		signer: string(signer), opened: map[string]string{},
	}
	identity := &record.Identity{
		UserID: m.id, Address: address, Destination: address, Enabled: true, WKD: nick.WKDHash(local), Fingerprint: key.GetFingerprint(),
		Keys: map[string]record.Key{"openpgp": {Type: "openpgp", Value: public, Rev: "AAAAAAAAAAA="}},
	}
	err = errors.Join(
		db.Identities().Create(t.Context(), identity),
		db.Users().Create(t.Context(), &record.User{ID: m.id, Login: local, Enabled: true}),
		db.UserDBs().Create(t.Context(), m.id),
		db.Tokens().Create(t.Context(), m.token, m.id),
	)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// copies opens what is in the queue and counts the copies of each letter.
func (m *mailbox) copies(t *testing.T, raw *process.Database, queue *couch.UserDB) map[string]int {
	t.Helper()
	var all struct{ Rows []struct{ ID string } }
	status, err := raw.Do(t.Context(), "GET", `/user-`+m.id+`/_all_docs?startkey="in-"&endkey="in-~"`, nil, &all)
	if err != nil || status != 200 {
		t.Fatalf("listing the queue: %d, %v", status, err)
	}
	there := map[string]int{}
	for _, row := range all.Rows {
		id, err := m.letter(t.Context(), queue, strings.TrimPrefix(row.ID, "in-"))
		if err != nil {
			t.Fatal(err)
		}
		if id != "" {
			there[id]++
		}
	}
	return there
}

// letter returns the id of the letter in an entry of the queue, "" if it is
// another mail: the relay tells users about mail that is late.
func (m *mailbox) letter(ctx context.Context, queue *couch.UserDB, entry string) (string, error) {
	if id, ok := m.opened[entry]; ok {
		return id, nil
	}
	body, err := queue.IncomingBody(ctx, entry)
	if err != nil {
		return "", fmt.Errorf("reading a mail: %w", err)
	}
	_, text, err := envelope.Open(body, m.private, []string{m.signer})
	if err != nil {
		return "", fmt.Errorf("opening a mail: %w", err)
	}
	msg, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return "", fmt.Errorf("parsing a mail: %w", err)
	}
	id, domain, _ := strings.Cut(strings.Trim(msg.Header.Get("Message-ID"), "<>"), "@")
	if domain != letterDomain {
		id = ""
	}
	m.opened[entry] = id
	return id, nil
}

// take is the user's device: now and then it takes a letter from the queue.
func (m *mailbox) take(ctx context.Context, p *post, queue *couch.UserDB) {
	for ; ctx.Err() == nil; pause(ctx, 20*time.Millisecond) {
		list, err := queue.Incoming(ctx, 3)
		if err != nil {
			continue
		}
		for _, entry := range list {
			id, err := m.letter(ctx, queue, entry.ID)
			if err != nil {
				break
			}
			l := p.takeable(id)
			if l == nil {
				continue
			}
			err = queue.DeleteIncoming(ctx, entry.ID)
			if err == nil || errors.Is(err, problem.NotExist) {
				p.note(func() { l.taken = true })
			}
			break
		}
	}
}

// takeable returns the letter of an id, if nobody will send it again.
func (p *post) takeable(id string) *letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.letters {
		if l.id == id && l.acked && !l.submitted && !p.frozen {
			l.taking = true
			return l
		}
	}
	return nil
}
