package play

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"leap.example/client/control"
)

// A person is somebody with a device: a home directory and a daemon of its own.
type person struct {
	s        *Story
	name     string // Of the device.
	login    string
	home     string
	program  string // Of his own; empty: that of the story.
	password string
	daemon   *Process
	mail     control.MailSettings
}

// newPerson makes the home of a device and starts its daemon.
func (s *Story) newPerson(name, login, password string) (*person, error) {
	p := &person{s: s, name: name, login: login, password: password, home: filepath.Join(s.Dir, name)}
	if err := os.MkdirAll(p.home, 0o700); err != nil {
		return nil, err
	}
	return p, p.wake()
}

// wake starts the daemon and waits until it answers.
func (p *person) wake() error {
	var err error
	p.daemon, err = Start(p.s.Dir, "leapc-"+p.name, []string{"HOME=" + p.home}, p.leapcProgram(), "--home", p.home, "daemon")
	if err != nil {
		return err
	}
	return p.s.Until(p.name+"'s daemon answers", 30*time.Second, func() error {
		select {
		case <-p.daemon.Done:
			return fmt.Errorf("it ended: %v", p.daemon.Err)
		default:
		}
		// Any answer will do: before the first login the status is 3.
		_, err := control.Dial(filepath.Join(p.home, "leapc.sock")).Status(p.s.Ctx)
		return err
	})
}

func (p *person) leapcProgram() string {
	if p.program != "" {
		return p.program
	}
	return p.s.Leapc
}

// leapc types a command.
func (p *person) leapc(stdin string, args ...string) ([]byte, error) {
	argv := append([]string{p.leapcProgram(), "--home", p.home, "--json"}, args...)
	return p.s.Tool(stdin, []string{"HOME=" + p.home}, argv...)
}

// join chooses the provider and signs up or logs in.
func (p *person) join(how ...string) error {
	if _, err := p.leapc("", "provider", "add", p.s.At.Bootstrap, "--ca-fingerprint", p.s.At.Fingerprint, "--resolver", p.s.At.Resolver); err != nil {
		return err
	}
	_, err := p.leapc(p.password+"\n", how...)
	if unavailable(err) { // As it says itself: repeat it, and if the name is taken, it was you.
		err = p.s.Until(p.name+" is let in", 20*time.Second, func() error {
			_, err := p.leapc(p.password+"\n", how...)
			if err == nil {
				return nil
			}
			_, again := p.leapc(p.password+"\n", "login", p.login)
			if again == nil {
				return nil
			}
			return errors.Join(err, again)
		})
	}
	if err != nil {
		return err
	}
	return p.settings()
}

// unavailable reports whether a command says that it did not get through to the
// provider.
func unavailable(err error) bool {
	e, ok := errors.AsType[*exec.ExitError](err)
	return ok && e.ExitCode() == exitDegraded
}

// exitDegraded is leapc's status for that.
const exitDegraded = 4

// settings reads what the mail program must be set to.
func (p *person) settings() error {
	out, err := p.leapc("", "mail")
	if err != nil {
		return err
	}
	p.mail, err = decode[control.MailSettings](out)
	if err == nil && p.mail.Address != p.login+"@"+p.s.At.Domain {
		err = fmt.Errorf("the address is %q", p.mail.Address)
	}
	return err
}

// key returns what the client finds for an address.
func (p *person) key(address string) (control.Key, error) {
	out, err := p.leapc("", "keys", address)
	if err != nil {
		return control.Key{}, err
	}
	return decode[control.Key](out)
}

// receive waits until a message that satisfies want is in a mailbox. The mail
// program polls as mail programs do; the daemon itself is woken by the provider.
func (p *person) receive(mailbox string, want func(message) error) (message, error) {
	var found message
	err := p.s.Until(p.name+" has the mail in "+mailbox, 45*time.Second, func() error {
		all, err := p.s.program().fetch(p, mailbox)
		if err != nil {
			return err
		}
		why := fmt.Errorf("%d messages, none of them it", len(all))
		for _, m := range all {
			if err := want(m); err == nil {
				found = m
				return nil
			} else if !errors.Is(err, errOther) {
				why = err
			}
		}
		return why
	})
	return found, err
}

// errOther says that a message is another one than looked for.
var errOther = errors.New("another message")
