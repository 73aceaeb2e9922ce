package history

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Law is the document that decides about writes of others: law n forbids what no
// law above a lower number allows. One client at a time writes it.
const Law = "_design/law"

// Always is the Law of a write that every law allows.
const Always = math.MaxInt

// An edict is a law, and when it may have been in force: from the call that made
// it to the acknowledgement of a later one.
type edict struct {
	law         int
	from, until time.Duration
}

// edicts returns those of a history, in order, the first of which is that there
// is no law.
func edicts(ops []Op) []edict {
	writes := slices.DeleteFunc(slices.Clone(ops), func(op Op) bool {
		return op.Doc != Law || op.Kind != Write || op.Outcome != OK && op.Outcome != Unknown
	})
	slices.SortFunc(writes, func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
	all := []edict{{until: math.MaxInt64}}
	for _, op := range writes {
		if op.Outcome == OK {
			for i := range all {
				all[i].until = min(all[i].until, op.Return)
			}
		}
		all = append(all, edict{op.Law, op.Call, math.MaxInt64})
	}
	return all
}

// Unlawful returns the writes that were done, or not, though no law can have
// said so that was in force at some time between the call and the answer.
func Unlawful(ops []Op) (wrong []Op) {
	laws := edicts(ops)
	for _, op := range ops {
		if op.Kind != Write || op.Doc == Law || op.Outcome != OK && op.Outcome != Illegal {
			continue
		}
		if !slices.ContainsFunc(laws, func(e edict) bool {
			return e.from <= op.Return && e.until >= op.Call && (e.law <= op.Law) == (op.Outcome == OK)
		}) {
			wrong = append(wrong, op)
		}
	}
	return wrong
}

// Strictest returns the highest number of a law, 0 if there was none.
func Strictest(ops []Op) (n int) {
	for _, op := range ops {
		if op.Doc == Law {
			n = max(n, op.Law)
		}
	}
	return n
}
