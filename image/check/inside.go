package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
)

// Shares of a node's disk and memory that should be free: one of so many.
const (
	lowDisk, fullDisk = 10, 20
	lowMemory         = 20
)

// agent asks the node how it sees itself. It reports whether the node answers.
func (c *checker) agent(ctx context.Context) bool {
	s, err := c.Client.Status(ctx)
	if err != nil {
		c.add("agent", node.CheckFail, err.Error(), "is the machine on, and was it met? leap node init "+c.Node.Name)
		return false
	}
	c.good("agent", fmt.Sprintf("release %s, on since %s", s.Release, s.Booted.UTC().Format(time.DateTime)))
	c.generation(s)
	c.clock(s)
	c.room(s)
	for _, name := range slices.Sorted(maps.Keys(s.Services)) {
		one := s.Services[name]
		switch {
		case !one.Running || !one.Healthy:
			c.add(name, node.CheckFail, or(one.Error, "it does not run"), c.logs(name))
		case one.Restarts > 0:
			c.add(name, node.CheckWarn, fmt.Sprintf("it is healthy, and was restarted %d times since it was deployed", one.Restarts), c.logs(name))
		default:
			c.good(name, "healthy")
		}
	}
	for _, text := range s.Trouble {
		if name, _, _ := strings.Cut(text, ":"); s.Services[name].Error == "" { // The others are said already.
			c.add("trouble", node.CheckWarn, text, "leap logs -s agent "+c.Node.Name)
		}
	}
	c.looked(ctx)
	return true
}

// generation compares what the node is with what it shall be.
func (c *checker) generation(s node.Status) {
	now, deploy := s.Current, "leap deploy "+c.Node.Name
	switch {
	case now.Number == 0:
		c.add("generation", node.CheckFail, "it waits for its first document", deploy)
	case now.State != node.StateGood:
		c.add("generation", node.CheckFail, strings.TrimSuffix(fmt.Sprintf("%d is %s: %s", now.Number, now.State, now.Reason), ": "), deploy)
	case c.Document == nil:
		c.add("generation", node.CheckWarn, fmt.Sprintf("%d is good, and nothing is compiled here to compare it with", now.Number), "leap compile")
	case c.Document.Digest() != now.Digest:
		c.add("generation", node.CheckWarn, fmt.Sprintf("%d is good, and not what is compiled here", now.Number), deploy)
	default:
		text := fmt.Sprintf("%d is good, and what is compiled here", now.Number)
		if s.Highest > now.Number { // What was wrong with it is over.
			text += fmt.Sprintf("; %d was tried and taken back", s.Highest)
		}
		c.good("generation", text)
		return
	}
	if s.Highest > now.Number {
		c.add("generation", node.CheckWarn, fmt.Sprintf("%d was tried and taken back", s.Highest), "leap history "+c.Node.Name)
	}
}

func (c *checker) clock(s node.Status) {
	const servers = "set \"time\" in common.json"
	off := s.Now.Sub(c.Now)
	switch {
	case off.Abs() > time.Minute:
		c.add("clock", node.CheckFail, fmt.Sprintf("it is off by %v", off.Round(time.Second)), servers)
	case !s.ClockKnown:
		c.add("clock", node.CheckWarn, "no time server has told it the time", servers)
	case !s.ClockTold:
		c.good("clock", "by the machine's own clock: there is no time server")
	default:
		c.good("clock", "told by a time server")
	}
}

// room looks at disk and memory.
func (c *checker) room(s node.Status) {
	text := fmt.Sprintf("%d of %d MB are free", s.Disk.Free>>20, s.Disk.Size>>20)
	const next = "give the machine a larger disk"
	switch {
	case s.Disk.Size == 0:
		c.add("disk", node.CheckFail, "it has none that can be written", "leap logs -s agent "+c.Node.Name)
	case s.Disk.Free < s.Disk.Size/fullDisk:
		c.add("disk", node.CheckFail, text, next)
	case s.Disk.Free < s.Disk.Size/lowDisk:
		c.add("disk", node.CheckWarn, text, next)
	default:
		c.good("disk", text)
	}
	text = fmt.Sprintf("%d of %d MB are free", s.Memory.Available>>20, s.Memory.Size>>20)
	if s.Memory.Available < s.Memory.Size/lowMemory {
		c.add("memory", node.CheckWarn, text, "give the machine more memory, or run less on it")
		return
	}
	c.good("memory", text)
}

// looked adds what the node found where nobody outside can look.
func (c *checker) looked(ctx context.Context) {
	list, err := c.Client.Checks(ctx)
	if errors.Is(err, problem.NotExist) {
		c.add("agent", node.CheckWarn, "its release is too old to look at itself", "install a newer one")
		return
	}
	if err != nil {
		c.add("agent", node.CheckFail, err.Error(), "leap logs -s agent "+c.Node.Name)
		return
	}
	next := map[string]string{
		"mesh": "is the other node on and deployed? leap deploy", "listeners": "leap logs " + c.Node.Name, "resolver": c.logs("dns"),
	}
	for _, one := range list {
		r := Result{c.Node.Name, one.Name, one.State, one.Text, ""}
		if one.State != node.CheckOK {
			r.Next = or(next[one.Name], "leap logs -s agent "+c.Node.Name)
		}
		c.list = append(c.list, r)
	}
}

// certificates looks for what ends soon among the files of the instance.
func (c *checker) certificates(context.Context) {
	err := c.Instance.Expiring(c.Node, c.Now)
	if err != nil {
		c.add("certificates", node.CheckWarn, err.Error(), "leap cert update "+c.Node.Name+" && leap deploy "+c.Node.Name)
		return
	}
	c.good("certificates", "they are good for 30 days and more")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
