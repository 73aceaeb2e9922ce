package dnssec

// What one answer may cost.
const (
	maxSignatures = 48  // Signatures verified, those of the chain of keys included; of many records one costs more.
	perSignature  = 32  // Records.
	maxHashes     = 160 // Names hashed for NSEC3, each at most maxIterations times.
	maxQuestions  = 48  // Questions asked for the chain of keys.
	maxTries      = 6   // Signatures verified for one set.
	maxTag        = 4   // Keys of one zone that share tag and algorithm.
	maxKeys       = 12  // Keys of one zone.
	maxDS         = 16  // DS records of one zone.
	maxDenials    = 12  // NSEC or NSEC3 records of one answer.
	maxAliases    = 12  // Aliases in one answer.
)

// A budget counts down what is left for one answer.
type budget struct{ signatures, hashes, questions int }

func newBudget() *budget { return &budget{maxSignatures, maxHashes, maxQuestions} }

// verification takes what it costs to verify a signature of n records.
func (b *budget) verification(n int) bool {
	b.signatures -= 1 + n/perSignature
	return b.signatures >= 0
}

// take takes one of what is left and reports whether there was one.
func take(left *int) bool {
	*left--
	return *left >= 0
}
