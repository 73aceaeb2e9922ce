package mailstore_test

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leap.example/client/mailstore"
	"leap.example/client/mailstore/flags"
	"leap.example/client/soledad"
	"leap.example/client/soledad/soledadtest"
)

// A fleet is the devices of one account.
type fleet struct {
	tb      testing.TB
	server  *soledadtest.Server
	ring    *soledad.Keyring
	devices []device
}

type device struct {
	mail *mailstore.Store
	docs *soledad.Store
}

func newFleet(tb testing.TB, n int) *fleet {
	tb.Helper()
	f := &fleet{tb: tb, server: soledadtest.NewServer()}
	f.server.AddUser("u", "t")
	var err error
	f.ring, err = soledad.NewKeyring(rand.Reader)
	check(tb, err)
	for range n {
		docs, err := soledad.Open(tb.Context(), filepath.Join(tb.TempDir(), "d.db"), [32]byte{1})
		check(tb, err)
		mail, err := mailstore.New(tb.Context(), docs)
		check(tb, err)
		f.devices = append(f.devices, device{mail, docs})
	}
	return f
}

func (f *fleet) close() {
	for _, d := range f.devices {
		check(f.tb, d.docs.Close())
	}
	f.server.Close()
}

func (f *fleet) sync(i int) {
	f.tb.Helper()
	_, err := f.devices[i].docs.Sync(f.tb.Context(), f.server.Remote("u"), f.ring)
	check(f.tb, err)
}

func (f *fleet) heal() {
	f.tb.Helper()
	for range 2 {
		for i := range f.devices {
			f.sync(i)
		}
	}
	for i := range f.devices {
		f.sync(i)
	}
}

// contents returns what all mailboxes show, without UIDs: subject and flags.
func contents(tb testing.TB, s *mailstore.Store) string {
	tb.Helper()
	boxes, err := s.Mailboxes(tb.Context())
	check(tb, err)
	var out strings.Builder
	for _, b := range boxes {
		items, _, err := s.Items(tb.Context(), b.ID)
		check(tb, err)
		var lines []string
		for _, it := range items {
			raw, err := s.Raw(tb.Context(), it)
			check(tb, err)
			_, subject, _ := strings.Cut(string(raw), "Subject: ")
			subject, _, _ = strings.Cut(subject, "\r\n")
			lines = append(lines, fmt.Sprint(subject, it.Flags))
		}
		slices.Sort(lines)
		out.WriteString(fmt.Sprintf("%s%v: %s\n", b.Name, b.Subscribed, strings.Join(lines, " ")))
	}
	return out.String()
}

// TestDevicesConverge runs random operations on devices that synchronise now
// and then, and checks that they come to show the same, that no UID ever names
// two messages, and that no message is lost that nobody expunged.
func TestDevicesConverge(t *testing.T) {
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		if runs++; runs > 25 { // A fleet takes its time.
			return
		}
		f := newFleet(t, 2)
		defer f.close()
		names := []map[string]string{{}, {}} // By device: mailbox id and UID -> subject.
		added, expunged := map[string]bool{}, map[string]bool{}
		for step := range rapid.IntRange(1, 20).Draw(rt, "steps") {
			i := rapid.IntRange(0, 1).Draw(rt, "device")
			d := f.devices[i]
			boxes, err := d.mail.Mailboxes(t.Context())
			check(t, err)
			from := rapid.SampledFrom(boxes).Draw(rt, "from")
			to := rapid.SampledFrom(boxes).Draw(rt, "to")
			items, _, err := d.mail.Items(t.Context(), from.ID)
			check(t, err)
			var uids []uint32
			if len(items) > 0 {
				uids = []uint32{rapid.SampledFrom(items).Draw(rt, "item").UID}
			}
			switch rapid.IntRange(0, 8).Draw(rt, "operation") {
			case 0, 1:
				subject := fmt.Sprint("m", step)
				added[subject] = true
				add(t, d.mail, to.Name, message(subject, "x"))
			case 2:
				check(t, d.mail.SetFlags(t.Context(), from.ID, uids, []string{flags.Flagged}, []string{flags.Seen}))
			case 3:
				check(t, d.mail.SetFlags(t.Context(), from.ID, uids, []string{flags.Seen}, []string{flags.Flagged}))
			case 4:
				if to.ID != from.ID {
					_, err = d.mail.Move(t.Context(), from.ID, uids, to.Name)
				}
			case 5:
				_, err = d.mail.Copy(t.Context(), from.ID, uids, to.Name)
			case 6:
				for _, it := range items {
					if slices.Contains(uids, it.UID) {
						raw, err := d.mail.Raw(t.Context(), it)
						check(t, err)
						_, subject, _ := strings.Cut(string(raw), "Subject: ")
						subject, _, _ = strings.Cut(subject, "\r\n")
						expunged[subject] = true
					}
				}
				check(t, d.mail.SetFlags(t.Context(), from.ID, uids, []string{flags.Deleted}, nil))
				_, err = d.mail.Expunge(t.Context(), from.ID, uids)
			case 7:
				name := rapid.SampledFrom([]string{"A", "B", "A/C"}).Draw(rt, "name")
				switch rapid.IntRange(0, 3).Draw(rt, "mailbox operation") {
				case 0:
					d.mail.DeleteMailbox(t.Context(), name) // It may be refused.
				case 1:
					d.mail.RenameMailbox(t.Context(), name, name+"2")
				default:
					d.mail.CreateMailbox(t.Context(), name)
				}
			default:
				f.sync(i)
			}
			check(t, err)
			for j, d := range f.devices {
				uidsAreStable(t, d.mail, names[j])
			}
		}
		f.heal()
		a, b := contents(t, f.devices[0].mail), contents(t, f.devices[1].mail)
		if a != b {
			rt.Fatalf("one device shows\n%s\nthe other\n%s", a, b)
		}
		for subject := range added {
			if !expunged[subject] && !strings.Contains(a, subject+"[") {
				rt.Fatalf("%s is lost:\n%s", subject, a)
			}
		}
		for j, d := range f.devices {
			uidsAreStable(t, d.mail, names[j])
		}
	})
}

func uidsAreStable(t *testing.T, s *mailstore.Store, names map[string]string) {
	t.Helper()
	boxes, err := s.Mailboxes(t.Context())
	check(t, err)
	validity := map[uint32]bool{}
	for _, b := range boxes {
		if validity[b.UIDValidity] {
			t.Fatalf("two mailboxes have the UIDVALIDITY %d", b.UIDValidity)
		}
		validity[b.UIDValidity] = true
		items, _, err := s.Items(t.Context(), b.ID)
		check(t, err)
		for _, it := range items {
			raw, err := s.Raw(t.Context(), it)
			check(t, err)
			key := fmt.Sprint(b.UIDValidity, it.UID)
			if old, ok := names[key]; ok && old != string(raw) {
				t.Fatalf("UID %d of %s was %q and is %q", it.UID, b.Name, old, raw)
			}
			names[key] = string(raw)
			if it.UID >= b.UIDNext {
				t.Fatalf("UID %d, next %d", it.UID, b.UIDNext)
			}
		}
	}
}

// TestMoveSurvivesExpunge: one device expunges from the trash while the other
// moves the message out of it.
func TestMoveSurvivesExpunge(t *testing.T) {
	f := newFleet(t, 2)
	defer f.close()
	a, b := f.devices[0], f.devices[1]
	add(t, a.mail, "Trash", message("kept", ""))
	add(t, a.mail, "Trash", message("gone", ""))
	f.heal()
	trash := id(t, a.mail, "Trash")
	check(t, a.mail.SetFlags(t.Context(), trash, []uint32{1, 2}, []string{flags.Deleted}, nil))
	_, err := a.mail.Expunge(t.Context(), trash, []uint32{1, 2})
	check(t, err)
	_, err = b.mail.Move(t.Context(), trash, []uint32{1}, "Archive")
	check(t, err)
	check(t, b.mail.SetFlags(t.Context(), trash, []uint32{2}, []string{flags.Flagged}, nil))
	f.heal()
	for i, d := range f.devices {
		if got, want := show(t, d.mail, "Trash", "Archive"), "Trash:\nArchive: 1[]\n"; got != want {
			t.Errorf("device %d shows\n%s\nwant\n%s", i, got, want)
		}
	}
}

// TestSameMessageTwice: two devices took one message from the queue and could
// not verify it alike. One version is chosen; it never hides under the UID of
// the other.
func TestSameMessageTwice(t *testing.T) {
	f := newFleet(t, 2)
	defer f.close()
	for i, state := range []string{"could not verify", `valid; pubkey="x"`} {
		_, _, err := f.devices[i].mail.Append(t.Context(), "INBOX", message(state, ""), nil, time.Unix(1700000000, 0),
			mailstore.AppendOptions{ID: "queue1", IfAbsent: true, State: mailstore.State{Signature: state}})
		check(t, err)
	}
	f.heal()
	want := []string{"INBOX: 2[]\n", "INBOX: 1[]\n"}
	for i, d := range f.devices {
		if got := show(t, d.mail, "INBOX"); got != want[i] {
			t.Errorf("device %d shows %s, want %s", i, got, want[i])
		}
		if got := contents(t, d.mail); !strings.Contains(got, "valid; pubkey") || strings.Contains(got, "could not") {
			t.Errorf("device %d shows\n%s", i, got)
		}
	}
}

// TestMailboxesOfTwoDevices: what both make under one name is one mailbox;
// messages put into a mailbox that the other deleted appear in INBOX.
func TestMailboxesOfTwoDevices(t *testing.T) {
	f := newFleet(t, 2)
	defer f.close()
	a, b := f.devices[0], f.devices[1]
	for _, d := range f.devices {
		check(t, d.mail.CreateMailbox(t.Context(), "Work/Taxes"))
	}
	add(t, a.mail, "Work/Taxes", message("a", ""))
	add(t, b.mail, "Work/Taxes", message("b", ""))
	f.heal()
	if got := contents(t, a.mail); !strings.Contains(got, "Work/Taxestrue: a[] b[]\n") || strings.Count(got, "Work") != 2 {
		t.Errorf("after both made it:\n%s", got)
	}
	check(t, a.mail.DeleteMailbox(t.Context(), "Work/Taxes"))
	add(t, b.mail, "Work/Taxes", message("late", ""))
	f.heal()
	for i, d := range f.devices {
		if got := contents(t, d.mail); strings.Contains(got, "Taxes") || !strings.Contains(got, "INBOXtrue: late[]\n") || !strings.Contains(got, "Trashtrue: a[] b[]\n") {
			t.Errorf("device %d shows\n%s", i, got)
		}
	}
	// Renamed differently: the names stay apart.
	check(t, a.mail.CreateMailbox(t.Context(), "X"))
	check(t, a.mail.CreateMailbox(t.Context(), "Y"))
	f.heal()
	check(t, a.mail.RenameMailbox(t.Context(), "X", "Z"))
	check(t, b.mail.RenameMailbox(t.Context(), "Y", "Z"))
	f.heal()
	if a, b := contents(t, a.mail), contents(t, b.mail); a != b || strings.Count(a, "\nZ") != 2 {
		t.Errorf("one shows\n%s\nthe other\n%s", a, b)
	}
}
