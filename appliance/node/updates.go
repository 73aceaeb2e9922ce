package node

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Updates is how a node comes to newer releases by itself. Two repositories of The
// Update Framework have to agree on each: the vendor's says which bytes are a
// release, the director's, which is the provider's, says which of them this node may
// run. Neither can do the other's part.
type Updates struct {
	Vendor   Repository `json:"vendor"`   // Its sources have the releases. Required.
	Director Repository `json:"director"` // Required.
	// Poll is how often both are asked, half of it more or less. 0: 6h.
	Poll Duration `json:"poll,omitempty"`
	// Windows are when the node may restart for an update. None: at any time.
	Windows []Window `json:"windows,omitempty"`
	// Canary has the node be among the first of each release, as the director
	// and the windows allow.
	Canary bool `json:"canary,omitempty"`
	// Mirror has the node keep copies of both. None: it asks others.
	Mirror *Mirror `json:"mirror,omitempty"`
	// Slot is where the nodes agree on which of them restarts. None: this one
	// restarts without asking.
	Slot *Slot `json:"slot,omitempty"`
}

// A Repository is one of The Update Framework.
type Repository struct {
	// Sources are URLs of trees of its files, in the order in which they are
	// asked. None of them is trusted. Required.
	Sources []string `json:"sources"`
	// Root is a version of its root, as its signers have signed it (JSON): whom
	// it names is trusted, and, in time, whom those name in turn. Required of the
	// director. Of the vendor it counts only in releases that were made without
	// one: those of developers.
	Root string `json:"root,omitempty"`
}

// A Window is a time of the week.
type Window struct {
	Days []string `json:"days,omitempty"` // "mon" to "sun". None: every day.
	From string   `json:"from"`           // Hours and minutes of UTC, "02:30". Required.
	For  Duration `json:"for"`            // From then on, up to a day. Required.
}

// A Slot is the account of the node's agent on the provider's database.
type Slot struct {
	Couch  json.RawMessage `json:"couch"`  // The section "couch" of a service, whose password is at [SlotPassword]. Required.
	Secret string          `json:"secret"` // Name of the one of Document.Secrets that is the password. Required.
	// Authority is what is at [SlotAuthority], PEM, if the section names that.
	Authority string `json:"authority,omitempty"`
}

// Limits of what a document says of updates.
const (
	maxSources  = 16
	maxRoot     = 512_000 // Bytes.
	maxWindows  = 32
	shortWindow = time.Minute
	shortPoll   = time.Second
	longPoll    = 7 * 24 * time.Hour
)

// days are those of a [Window], in the order of [time.Weekday].
var days = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Opens is the time of the window that t is in, or, if it is in none, of the next
// one: from when it is open until when.
func (w Window) Opens(t time.Time) (from, until time.Time) {
	t = t.UTC()
	clock, err := time.Parse("15:04", w.From)
	if err != nil {
		return t.Add(longPoll), t.Add(longPoll) // No document says that.
	}
	// What began yesterday may last until today.
	for day := -1; day <= len(days); day++ {
		from = time.Date(t.Year(), t.Month(), t.Day()+day, clock.Hour(), clock.Minute(), 0, 0, time.UTC)
		until = from.Add(time.Duration(w.For))
		if t.Before(until) && (len(w.Days) == 0 || slices.Contains(w.Days, days[from.Weekday()])) {
			break
		}
	}
	return from, until
}

// Open reports whether the node may restart for an update at a time, and if not, from
// when on.
func (u Updates) Open(t time.Time) (open bool, from time.Time) {
	for _, w := range u.Windows {
		begin, _ := w.Opens(t)
		if !begin.After(t) {
			return true, t
		}
		if from.IsZero() || begin.Before(from) {
			from = begin
		}
	}
	return len(u.Windows) == 0, from
}

func (c *checker) updates(d Document) {
	if d.Updates == nil {
		return
	}
	u := *d.Updates
	c.repository("/updates/vendor", u.Vendor, false)
	c.repository("/updates/director", u.Director, true)
	c.mirror(d)
	if p := time.Duration(u.Poll); p != 0 && (p < shortPoll || p > longPoll) {
		c.failf("/updates/poll", "between %v and %v", shortPoll, longPoll)
	}
	if len(u.Windows) > maxWindows {
		c.failf("/updates/windows", "at most %d", maxWindows)
	}
	for i, w := range u.Windows {
		c.window("/updates/windows/"+strconv.Itoa(i), w)
	}
	if s := u.Slot; s != nil {
		if len(s.Couch) == 0 || s.Couch[0] != '{' {
			c.failf("/updates/slot/couch", "an object is required")
		}
		if _, ok := d.Secrets[s.Secret]; !ok {
			c.failf("/updates/slot/secret", "the name of one of the document's secrets is required")
		}
	}
}

func (c *checker) repository(pointer string, r Repository, root bool) {
	if len(r.Sources) == 0 || len(r.Sources) > maxSources {
		c.failf(pointer+"/sources", "one to %d URLs are required", maxSources)
	}
	c.sources(pointer+"/sources", r.Sources)
	switch {
	case r.Root == "" && root:
		c.failf(pointer+"/root", "the metadata of a root are required")
	case r.Root != "" && (len(r.Root) > maxRoot || !json.Valid([]byte(r.Root))):
		c.failf(pointer+"/root", "this is not the metadata of a root: JSON of at most %d bytes", maxRoot)
	}
}

// sources checks URLs of trees.
func (c *checker) sources(pointer string, urls []string) {
	if len(urls) > maxSources {
		c.failf(pointer, "at most %d URLs", maxSources)
	}
	for i, s := range urls {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			c.failf(fmt.Sprintf("%s/%d", pointer, i), "a URL of the form https://HOST/PATH is required")
		}
	}
}

func (c *checker) window(pointer string, w Window) {
	seen := map[string]bool{}
	for _, d := range w.Days {
		if !slices.Contains(days, d) || seen[d] {
			c.failf(pointer+"/days", "days of the week are required, each once: %q", days)
		}
		seen[d] = true
	}
	if _, err := time.Parse("15:04", w.From); err != nil || len(w.From) != len("15:04") {
		c.failf(pointer+"/from", `hours and minutes of UTC are required, like "02:30"`)
	}
	if f := time.Duration(w.For); f < shortWindow || f > longest {
		c.failf(pointer+"/for", "between %v and %v", shortWindow, longest)
	}
}
