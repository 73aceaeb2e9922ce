package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leap.example/updater/target"
	"leap.example/updater/tufrepo"
)

func (a *app) rolloutCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "rollout", Short: "Plan who takes which release when, and stop one",
		Long: `Plan who takes which release when, and stop one. The plan is the target rollout.json,
which all nodes and clients read: once there is one, a release goes to nobody before
its rollout begins, then to more and more machines, wave after wave, and with a halt to
no machine that has not begun to take it. Each command makes an event that one signer
of the role rollout signs; clients see it at their next look, within some hours. Where
there is no plan, everybody takes a release as soon as it is public.`,
	}, a.rolloutInit(), a.rolloutBegin(), a.rolloutHalt(), a.rolloutResume(), a.rolloutShow())
}

// replan proposes a change of the plan. Event is what the event is called; empty: by
// what it does.
func (a *app) replan(cmd *cobra.Command, event, does, release, why string, change func(*tufrepo.Repo, target.Plan) (target.Plan, error)) error {
	r, err := a.open()
	if err != nil {
		return err
	}
	if event == "" {
		event = r.Unused(does + "-" + strings.ReplaceAll(release, "~", "_"))
	}
	if why == "" {
		why = does + " the rollout of " + release
	}
	e, err := r.Replan(cmd.Context(), event, why, func(p target.Plan) (target.Plan, error) { return change(r, p) }, a.now())
	if err != nil {
		return err
	}
	if !a.json {
		if err := a.show(e, e.Roles); err != nil {
			return err
		}
		a.sayf("")
	}
	return a.made(a.dir, e)
}

func (a *app) rolloutInit() *cobra.Command {
	var event string
	cmd := &cobra.Command{
		Use: "init", Short: "From now on nobody takes a release before its rollout begins", Args: args(cobra.NoArgs),
		Long: `Propose a first plan: from now on nobody takes a release before its rollout begins.
Releases that are public already stay open to everybody. Do it before the first release.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.replan(cmd, event, "first", "plan", "from now on releases have rollouts", func(r *tufrepo.Repo, p target.Plan) (target.Plan, error) {
				is, err := r.Plan()
				if err == nil && is != nil {
					err = fmt.Errorf("there is a plan already: see leap-sign%s rollout show", a.inRepo())
				}
				return p, err
			})
		},
	}
	eventFlag(cmd, &event)
	return cmd
}

func eventFlag(cmd *cobra.Command, event *string) {
	cmd.Flags().StringVar(event, "event", "", "`name` of the event (default: by what it does)")
}

// beginning is how a rollout begins.
type beginning struct {
	event, why, waves, at, oldest, newest string
	again, early                          bool
}

// at reads the time of a beginning.
func (a *app) at(text string) (time.Time, error) {
	if text == "" {
		return a.now().UTC().Truncate(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("--at %s: a time like %s is required", text, a.now().UTC().Format(time.RFC3339))
	}
	return t.UTC(), nil
}

func (a *app) rolloutBegin() *cobra.Command {
	var b beginning
	cmd := &cobra.Command{
		Use: "begin RELEASE", Short: "Let a release go to machines, wave after wave", Args: args(cobra.ExactArgs(1)),
		Long: `Let a release go to machines, wave after wave. Each machine finds its place in the
waves of a release by itself, from a secret of its own; nobody can choose who is first.

  default   1 % after 1h, 5 % after 4h, 15 % after 1 day, 40 % after 2, 60 % after 4,
            90 % after 5, 100 % after 6
  fast      5 % after 1h, 25 % after 6h, 50 % after 12h, 100 % after a day
  at-once   all
  1h=5,24h=100   after an hour 5 %, after a day all

Releases that are no longer public leave the plan.`,
		Example: `  leap-sign rollout begin 1.2.0
  leap-sign rollout begin 1.2.1 --waves fast --why "mends 1.2.0"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			waves, err := target.ParseWaves(b.waves)
			if err != nil {
				return err
			}
			begins, err := a.at(b.at)
			if err != nil {
				return err
			}
			rollout := target.Rollout{Release: args[0], Begins: begins, Waves: waves, Oldest: b.oldest, Newest: b.newest}
			return a.replan(cmd, b.event, "begin", args[0], b.why, func(r *tufrepo.Repo, p target.Plan) (target.Plan, error) {
				return b.change(r, p, rollout)
			})
		},
	}
	eventFlag(cmd, &b.event)
	f := cmd.Flags()
	f.StringVar(&b.waves, "waves", "default", "default, fast, at-once, or a `list` like 1h=5,24h=100")
	f.StringVar(&b.at, "at", "", "`time` when it begins, like 2026-01-31T12:00:00Z (default: now)")
	f.StringVar(&b.oldest, "oldest", "", "only for machines that run this `version` or a newer one")
	f.StringVar(&b.newest, "newest", "", "only for machines that run this `version` or an older one")
	f.StringVar(&b.why, "why", "", "`reason`, which signers are shown")
	f.BoolVar(&b.again, "again", false, "give a release other waves whose rollout has begun")
	f.BoolVar(&b.early, "early", false, "the release is not public yet")
	return cmd
}

// change adds a rollout to the plan.
func (b beginning) change(r *tufrepo.Repo, p target.Plan, rollout target.Rollout) (target.Plan, error) {
	public, err := r.Releases()
	if err != nil {
		return p, err
	}
	if !slices.Contains(public, rollout.Release) && !b.early {
		return p, fmt.Errorf("no release %s is public, but %s: publish it first, it goes to nobody before its rollout begins (or --early)", rollout.Release, cmp.Or(strings.Join(public, ", "), "none"))
	}
	p.Rollouts = slices.DeleteFunc(p.Rollouts, func(o target.Rollout) bool { return !slices.Contains(public, o.Release) })
	was, begun := p.Of(rollout.Release)
	if begun && was.Halt {
		return p, fmt.Errorf("the rollout of %s is halted: see \"leap-sign rollout resume\"", rollout.Release)
	}
	if begun && !b.again {
		return p, fmt.Errorf("the rollout of %s has begun already: %s; other waves are given with --again", rollout.Release, was)
	}
	return p.With(rollout), nil
}

func (a *app) rolloutHalt() *cobra.Command {
	var event, why string
	cmd := &cobra.Command{
		Use: "halt RELEASE", Short: "Stop a release: no machine begins to take it any longer", Args: args(cobra.ExactArgs(1)),
		Long: `Stop a release: from their next look on, within some hours, no machine takes it that
has not yet. It is not taken back from machines that have it: a newer release is what
helps these.`,
		Example: `  leap-sign rollout halt 1.2.0 --why "does not start on old discs"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.replan(cmd, event, "halt", args[0], why, func(r *tufrepo.Repo, p target.Plan) (target.Plan, error) {
				rollout, ok := p.Of(args[0])
				switch {
				case !ok:
					return p, fmt.Errorf("the rollout of %s has not begun, it goes to nobody: see leap-sign%s rollout show", args[0], a.inRepo())
				case rollout.Halt:
					return p, fmt.Errorf("the rollout of %s is halted already", args[0])
				}
				rollout.Halt = true
				return p.With(rollout), nil
			})
		},
	}
	eventFlag(cmd, &event)
	cmd.Flags().StringVar(&why, "why", "", "`reason`, which signers are shown")
	return cmd
}

func (a *app) rolloutResume() *cobra.Command {
	var event, why, waves, at string
	cmd := &cobra.Command{
		Use: "resume RELEASE", Short: "Let a release that was stopped go on", Args: args(cobra.ExactArgs(1)),
		Long: `Let a release that was stopped go on. Its waves begin anew, now, so that nothing comes
to many machines at once that was to come to few; --at gives them another beginning.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			begins, err := a.at(at)
			if err != nil {
				return err
			}
			return a.replan(cmd, event, "resume", args[0], why, func(r *tufrepo.Repo, p target.Plan) (target.Plan, error) {
				rollout, ok := p.Of(args[0])
				if !ok || !rollout.Halt {
					return p, fmt.Errorf("the rollout of %s is not halted: see leap-sign%s rollout show", args[0], a.inRepo())
				}
				rollout.Halt, rollout.Begins = false, begins
				if waves != "" {
					if rollout.Waves, err = target.ParseWaves(waves); err != nil {
						return p, err
					}
				}
				return p.With(rollout), nil
			})
		},
	}
	eventFlag(cmd, &event)
	f := cmd.Flags()
	f.StringVar(&why, "why", "", "`reason`, which signers are shown")
	f.StringVar(&waves, "waves", "", "other waves than before: default, fast, at-once, or a `list`")
	f.StringVar(&at, "at", "", "`time` from which its waves are counted (default: now)")
	return cmd
}

// planned is a release in the plan, for programs.
type planned struct {
	target.Rollout
	Share int `json:"share"` // Per cent of machines whose turn it is.
}

func (a *app) rolloutShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the plan that is public", Args: args(cobra.NoArgs),
		Long: `Show the plan that is public: how far each release is, and which go to nobody as
their rollout has not begun. What events will change of it "leap-sign event show" shows.`,
		RunE: func(*cobra.Command, []string) error {
			r, err := a.open()
			if err != nil {
				return err
			}
			p, err := r.Plan()
			if err != nil {
				return err
			}
			public, err := r.Releases()
			if err != nil {
				return err
			}
			out := struct {
				Plan     bool      `json:"plan"`
				Rollouts []planned `json:"rollouts"`
				Held     []string  `json:"held"` // Public, and not in the plan.
			}{p != nil, []planned{}, []string{}}
			if p != nil {
				for _, o := range p.Rollouts {
					out.Rollouts = append(out.Rollouts, planned{o, o.Share(a.now())})
				}
				out.Held = append(out.Held, slices.DeleteFunc(public, func(v string) bool { _, ok := p.Of(v); return ok })...)
			}
			return a.print(out, func() {
				if p == nil {
					a.sayf("there is no plan: everybody takes a release as soon as it is public; next: leap-sign%s rollout init", a.inRepo())
					return
				}
				for _, o := range out.Rollouts {
					a.sayf("%s: %d %% of machines now; %s", o.Release, o.Share, o.Rollout)
				}
				for _, v := range out.Held {
					a.sayf("%s: goes to nobody; next: leap-sign%s rollout begin %s", v, a.inRepo(), v)
				}
			})
		},
	}
}
