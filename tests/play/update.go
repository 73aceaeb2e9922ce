package play

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"leap.example/client/control"
)

// A Vendor is who makes the client, as the story needs him.
type Vendor struct {
	Source, Root string // As "leapc update install" takes them.
	// Release publishes a newer version of the client, signed.
	Release func() (version string, err error)
}

// Update returns the steps by which alice's client updates itself while she
// writes, and she goes on.
func (s *Story) Update() []Step {
	return []Step{
		{"alice puts her client where it can update itself", s.aliceMoves},
		{"a newer version is signed, and hers offers it", s.aliceIsTold},
		{"her client updates itself while she writes", s.aliceUpdates},
		{"she reads with the new version, and bob reads her mails", s.aliceGoesOn},
	}
}

// A changed is what the update is about.
type changed struct {
	version string
	written []string // Words of mails that were taken while it went on.
}

func (s *Story) aliceMoves() error {
	prefix := filepath.Join(s.Dir, "alice-leap")
	if _, err := s.alice.leapc("", "update", "install", prefix, "--root", s.Vendor.Root, "--source", s.Vendor.Source); err != nil {
		return err
	}
	s.alice.daemon.Stop()
	s.alice.program = filepath.Join(prefix, "current", "leapc")
	if err := s.alice.wake(); err != nil {
		return err
	}
	if _, err := s.alice.leapc(s.alice.password+"\n", "login"); err != nil {
		return err
	}
	return s.alice.settings()
}

// An offered is what the story reads of "leapc update check".
type offered struct {
	Version string
	Offer   *struct {
		Version string
		Signers []string
	}
}

// ask has alice's client ask for updates.
func (s *Story) ask() (offered, error) {
	out, err := s.alice.leapc("", "update", "check")
	if err != nil {
		return offered{}, err
	}
	return decode[offered](out)
}

func (s *Story) aliceIsTold() error {
	got, err := s.ask()
	if err != nil {
		return err
	}
	if got.Offer != nil {
		return fmt.Errorf("%s is offered before it is there", got.Offer.Version)
	}
	if s.update.version, err = s.Vendor.Release(); err != nil {
		return err
	}
	if got, err = s.ask(); err != nil {
		return err
	}
	if got.Offer == nil || got.Offer.Version != s.update.version || !slices.Equal(got.Offer.Signers, []string{"targets", "release"}) {
		return fmt.Errorf("it offers %+v", got.Offer)
	}
	return nil
}

func (s *Story) aliceUpdates() error {
	before, err := s.alice.runs()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(s.Ctx)
	defer stop()
	var writing sync.WaitGroup
	began := make(chan struct{})
	writing.Go(func() { s.write(ctx, began) })
	<-began
	_, err = s.alice.leapc("", "update", "apply")
	stop()
	writing.Wait()
	if err != nil {
		return err
	}
	after, err := s.alice.runs()
	if err != nil {
		return err
	}
	if after.Version != s.update.version || before.Version == after.Version || after.PID != before.PID {
		return fmt.Errorf("process %d was %s, and process %d is %s", before.PID, before.Version, after.PID, after.Version)
	}
	return nil
}

// write sends bob mails one after the other, and notes those that were taken. It
// closes began after the first.
func (s *Story) write(ctx context.Context, began chan struct{}) {
	var once sync.Once
	defer once.Do(func() { close(began) })
	for ctx.Err() == nil {
		word := Word("UPDATE")
		msg := compose(s.alice.mail.Address, s.bob.mail.Address, "on the way", word, word)
		if s.program().send(s.alice, s.bob.mail.Address, msg) == nil {
			s.update.written = append(s.update.written, word)
		}
		once.Do(func() { close(began) })
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond): // Between mails only.
		}
	}
}

// runs asks a person's daemon which program it is.
func (p *person) runs() (control.UpdateStatus, error) {
	c := control.Dial(filepath.Join(p.home, "leapc.sock"))
	defer c.Close()
	return c.UpdateStatus(p.s.Ctx)
}

func (s *Story) aliceGoesOn() error {
	// Her account is open without her password: the daemon handed it over to itself.
	if err := s.alice.settings(); err != nil {
		return err
	}
	if _, err := s.alice.receive("Sent", s.isAlices); err != nil {
		return err
	}
	if err := s.aliceWrites(); err != nil {
		return err
	}
	if err := s.bobReads(); err != nil {
		return err
	}
	if len(s.update.written) == 0 {
		return errors.New("no mail was taken before the update")
	}
	return s.Until("bob has all that was taken", 45*time.Second, s.bobHasAll)
}

// bobHasAll looks for the mails that were taken while the client updated itself.
func (s *Story) bobHasAll() error {
	all, err := s.program().fetch(s.bob, "INBOX")
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, m := range all {
		p, err := m.open()
		if err != nil {
			return err
		}
		there[strings.TrimSpace(p.text)] = true
	}
	for i, word := range s.update.written {
		if !there[word] {
			return fmt.Errorf("mail %d of %d is not among %d", i+1, len(s.update.written), len(all))
		}
	}
	return nil
}
