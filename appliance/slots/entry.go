package slots

import (
	"fmt"
	"regexp"
	"strconv"

	"leap.example/updater/target"
)

// tries is how often a new release is started before it counts as bad.
const tries = 3

// A State is what a release is.
type State string

// States of releases.
const (
	Good  State = "good"
	Trial State = "trial" // New, or started and not yet judged.
	Bad   State = "bad"
)

// An Entry is one release on the ESP.
type Entry struct {
	Version string
	Left    int  // Tries that are left. Of a good one it means nothing.
	Done    int  // Starts that are done.
	Counted bool // It has a counter.
	file    string
}

// State says what the release is.
func (e Entry) State() State {
	switch {
	case !e.Counted:
		return Good
	case e.Left > 0:
		return Trial
	}
	return Bad
}

// name is the name of the file of a release in that state.
func (e Entry) name() string {
	base := "leap_" + e.Version
	switch {
	case !e.Counted:
		return base + ".efi"
	case e.Done == 0:
		return fmt.Sprintf("%s+%d.efi", base, e.Left)
	}
	return fmt.Sprintf("%s+%d-%d.efi", base, e.Left, e.Done)
}

var fileName = regexp.MustCompile(`^leap_([^+]+?)(?:\+([0-9]{1,5})(?:-([0-9]{1,5}))?)?\.efi$`)

// parseName returns what a name says, and whether it is one of a release.
func parseName(name string) (Entry, bool) {
	m := fileName.FindStringSubmatch(name)
	if m == nil || target.CheckVersion(m[1]) != nil {
		return Entry{}, false
	}
	e := Entry{Version: m[1], Counted: m[2] != "", file: name}
	e.Left, _ = strconv.Atoi(m[2]) // At most five digits, or none.
	e.Done, _ = strconv.Atoi(m[3])
	return e, true
}
