package differ

// An Excuse is a difference that is known and allowed.
type Excuse struct {
	Row  string // Of the table in database.md section 12.
	Why  string
	Ends bool // The servers hold different things afterwards: the history ends.
	// Timing says that it comes and goes with the timing of theirs: it need not
	// be needed.
	Timing bool

	Of   func(r Request) bool     // To which requests it applies,
	When func(theirs Answer) bool // and to which answers of theirs. Nil: to all.
	Blur func(a *Answer)          // Takes what differs out of an answer.
}

// A Judge compares answers, and remembers which excuses were needed.
type Judge struct {
	excuses []Excuse
	needed  []int // How often, by the index of the excuse.
}

// NewJudge returns a judge who accepts the excuses.
func NewJudge(excuses []Excuse) *Judge { return &Judge{excuses, make([]int, len(excuses))} }

// Compare reports whether two answers to a request are the same but for what is
// excused, and whether the history has to end.
func (j *Judge) Compare(r Request, ours, theirs Answer) (same, ends bool) {
	if ours.equal(theirs) {
		return true, false
	}
	var apply []int
	for i, e := range j.excuses {
		if e.Of(r) && (e.When == nil || e.When(theirs)) {
			apply = append(apply, i)
		}
	}
	blurred := func(without int) bool {
		x, y := ours.copied(), theirs.copied()
		for _, i := range apply {
			if i != without {
				j.excuses[i].Blur(&x)
				j.excuses[i].Blur(&y)
			}
		}
		return x.equal(y)
	}
	if !blurred(-1) {
		return false, false
	}
	for _, i := range apply {
		if !blurred(i) {
			j.needed[i]++
			ends = ends || j.excuses[i].Ends
		}
	}
	return true, ends
}

// Unneeded returns the excuses that were never needed, and should have been.
func (j *Judge) Unneeded() []Excuse {
	var out []Excuse
	for i, e := range j.excuses {
		if j.needed[i] == 0 && !e.Timing {
			out = append(out, e)
		}
	}
	return out
}
