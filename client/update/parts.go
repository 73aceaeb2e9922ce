package update

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// onTrial returns the parts that are on trial and run, if only they do not answer.
func (u *Updater) onTrial(ctx context.Context, t *Trial) []Part {
	all := slices.DeleteFunc(slices.Clone(u.cfg.Parts), func(p Part) bool { return !slices.Contains(t.Parts, p.String()) })
	return partsThat(ctx, all, func(err error) bool { return !errors.Is(err, ErrStopped) })
}

// partsThat asks parts, and returns those whose answer will do.
func partsThat(ctx context.Context, parts []Part, will func(error) bool) (all []Part) {
	for _, p := range parts {
		if _, err := ask(ctx, p); will(err) {
			all = append(all, p)
		}
	}
	return all
}

func ask(ctx context.Context, p Part) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return p.Version(ctx)
}

// Bring has parts run a version, and waits until each of them says that it does: half
// a minute for all of them. One that does already is left alone.
func Bring(ctx context.Context, parts []Part, version string) error {
	ctx, cancel := context.WithTimeout(ctx, partsTimeout)
	defer cancel()
	for _, p := range parts {
		if got, err := ask(ctx, p); err == nil && got == version {
			continue
		}
		if err := p.Restart(ctx); err != nil {
			return fmt.Errorf("starting the %s again: %w", p, err)
		}
		if err := await(ctx, p, version); err != nil {
			return err
		}
	}
	return nil
}

// await polls a part until it says that it is a version.
func await(ctx context.Context, p Part, version string) error {
	for {
		got, err := ask(ctx, p)
		if err == nil && got == version {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("it says that it is %.40q", got)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the %s was not well as %s within %v: %w", p, version, partsTimeout, err)
		case <-time.After(partsPoll):
		}
	}
}
