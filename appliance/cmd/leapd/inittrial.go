package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/node"
	"leap.example/appliance/slots"
)

const (
	firmware   = "/sys/firmware/efi"
	variables  = firmware + "/efivars"
	espPatient = 20 * time.Second // Until another process has ended with the boot partition.
)

// askLoader finds out whether the release that runs is on trial: the boot loader
// tells by variables of the firmware, which are mounted only for that.
func (p *pid1) askLoader() error {
	if _, err := os.Stat(firmware); errors.Is(err, fs.ErrNotExist) {
		return nil // Started without firmware, and so without a boot loader.
	}
	if err := unix.Mount("efivarfs", variables, "efivarfs", safe|unix.MS_RDONLY, ""); err != nil {
		return err
	}
	l, err := slots.ReadLoader(variables)
	err = errors.Join(err, unix.Unmount(variables, 0))
	p.boot.Loader = l.Name
	if !l.Entry.Counted {
		return err
	}
	s, slotsErr := p.releases()
	if slotsErr != nil {
		return errors.Join(err, slotsErr)
	}
	within := s.Within(s.Running)
	p.boot.Trial = &node.Trial{Left: l.Entry.Left, Done: l.Entry.Done, Within: node.Duration(within)}
	p.say("TRIAL of release %s: start %d, %d left; it has to be good within %v", s.Running, l.Entry.Done, l.Entry.Left, within)
	return err
}

func (p *pid1) releases() (*slots.Slots, error) { return releases(p.disk, p.boot.Perm, release()) }

// watchTrial sees to it that a release on trial does not stay if nobody finds
// it good: it calls overdue when its time is over, unless ctx is done before.
func (p *pid1) watchTrial(ctx context.Context, overdue func(why string)) {
	within := time.Duration(p.boot.Trial.Within)
	select {
	case <-ctx.Done():
		return
	case <-time.After(within - time.Since(p.boot.Started)):
	}
	judged, err := p.judged(ctx)
	switch {
	case errors.Is(err, slots.ErrOnly):
		p.say("TROUBLE this release was not found good within %v, and %v", within, err)
	case err != nil:
		// The boot loader counts: it will have to do without our word.
		p.say("TROUBLE asking whether this release is good: %v", err)
		fallthrough
	case !judged:
		overdue(fmt.Sprintf("the node did not find it good within %v of its start", within))
	}
}

// judged reports whether the release that runs was found good meanwhile, or an
// error that is [slots.ErrOnly] if there is no other one.
func (p *pid1) judged(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, espPatient)
	defer cancel()
	s, err := p.releases()
	if err != nil {
		return false, err
	}
	all, err := s.List(ctx)
	if err != nil {
		return false, err
	}
	others := false
	for _, e := range all {
		if e.State() != slots.Good {
			continue
		}
		if e.Version == s.Running {
			return true, nil
		}
		others = true
	}
	if !others {
		return false, slots.ErrOnly
	}
	return false, nil
}

// condemn gives the release up that runs, when nothing else does any more.
func (p *pid1) condemn(reason string) error {
	ctx, cancel := context.WithTimeout(context.Background(), espPatient)
	defer cancel()
	// Somebody may have had his word while services ended.
	if judged, err := p.judged(ctx); judged || err != nil {
		return err
	}
	s, err := p.releases()
	if err != nil {
		return err
	}
	return s.Condemn(ctx, reason)
}
