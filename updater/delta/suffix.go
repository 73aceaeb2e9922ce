package delta

// suffixes returns the suffix array of text: where its suffixes begin, in their
// order. It takes time in proportion to the length ("Two Efficient Algorithms for
// Linear Time Suffix Array Construction", Nong, Zhang and Chan, 2011: SA-IS).
func suffixes(text []byte) []int32 {
	sa := make([]int32, len(text))
	sortSuffixes(text, sa, 256)
	return sa
}

// none is a place that has no suffix yet.
const none = -1

// sortSuffixes sorts the suffixes of a text of characters below k into sa, which
// is as long as the text.
//
// A suffix is of the type S if it is smaller than the one that begins behind it,
// else L; the empty one is the smallest. An S behind an L is a landmark. From the
// order of the landmarks that of all follows (induce), and they are sorted by
// sorting a shorter text: each landmark's stretch, up to the next one, is a
// character of it.
func sortSuffixes[T byte | int32](text []T, sa []int32, k int) {
	n := len(text)
	if n < 2 {
		clear(sa)
		return
	}
	bucket := make([]int32, k)
	marks := make(bitmap, (n+63)/64)
	fill(sa, none)
	ends(text, bucket)
	m := 0
	landmarks(text, func(i int) {
		marks.set(i)
		bucket[text[i]]--
		sa[bucket[text[i]]] = int32(i)
		m++
	})
	induce(text, sa, bucket)

	// Now the stretches are sorted. Equal ones get the same name, which is kept
	// beside where they begin: landmarks are two apart at least.
	at := 0
	for _, i := range sa {
		if marks.has(int(i)) {
			sa[at] = i
			at++
		}
	}
	names := sa[m:]
	fill(names, none)
	name := int32(-1)
	for i, pos := range sa[:m] {
		if i == 0 || !sameStretch(text, marks, int(sa[i-1]), int(pos)) {
			name++
		}
		names[pos/2] = name
	}
	short := sa[n-m:]
	at = m
	for i := len(names) - 1; i >= 0; i-- {
		if names[i] != none {
			at--
			short[at] = names[i]
		}
	}
	if int(name)+1 < m {
		sortSuffixes(short, sa[:m], int(name)+1)
	} else {
		for i, c := range short {
			sa[c] = int32(i)
		}
	}

	// The landmarks in their order, each at the end of its bucket.
	at = m
	landmarks(text, func(i int) {
		at--
		short[at] = int32(i)
	})
	for i, nth := range sa[:m] {
		sa[i] = short[nth]
	}
	fill(sa[m:], none)
	ends(text, bucket)
	for i := m - 1; i >= 0; i-- {
		pos := sa[i]
		sa[i] = none
		bucket[text[pos]]--
		sa[bucket[text[pos]]] = pos
	}
	induce(text, sa, bucket)
}

// induce sorts all suffixes, given the landmarks at the ends of their buckets.
func induce[T byte | int32](text []T, sa, bucket []int32) {
	n := len(text)
	// Those of the type L, by the ones behind them, from the smallest on; the last
	// one has the empty one behind it.
	starts(text, bucket)
	sa[bucket[text[n-1]]] = int32(n - 1)
	bucket[text[n-1]]++
	for _, j := range sa {
		if j > 0 && text[j-1] >= text[j] {
			c := text[j-1]
			sa[bucket[c]] = j - 1
			bucket[c]++
		}
	}
	// Those of the type S, from the largest on. An equal character before it is of
	// the same type: S, if it stands where those of its bucket begin already.
	ends(text, bucket)
	for i := n - 1; i >= 0; i-- {
		j := sa[i]
		if j > 0 && (text[j-1] < text[j] || text[j-1] == text[j] && int(bucket[text[j]]) <= i) {
			c := text[j-1]
			bucket[c]--
			sa[bucket[c]] = j - 1
		}
	}
}

// landmarks calls visit for each landmark, from the last to the first.
func landmarks[T byte | int32](text []T, visit func(i int)) {
	smaller := false // The type of text[i+1:].
	for i := len(text) - 2; i >= 0; i-- {
		switch {
		case text[i] < text[i+1]:
			smaller = true
		case text[i] > text[i+1]:
			if smaller {
				visit(i + 1)
			}
			smaller = false
		}
	}
}

// sameStretch reports whether two landmarks' stretches are equal.
func sameStretch[T byte | int32](text []T, marks bitmap, a, b int) bool {
	for k := 0; ; k++ {
		if a+k == len(text) || b+k == len(text) || text[a+k] != text[b+k] {
			return false
		}
		if x, y := marks.has(a+k), marks.has(b+k); k > 0 && (x || y) {
			return x && y
		}
	}
}

// starts sets where the bucket of each character begins.
func starts[T byte | int32](text []T, bucket []int32) {
	ends(text, bucket)
	last := int32(0)
	for c, end := range bucket {
		bucket[c], last = last, end
	}
}

// ends sets where the bucket of each character ends.
func ends[T byte | int32](text []T, bucket []int32) {
	clear(bucket)
	for _, c := range text {
		bucket[c]++
	}
	sum := int32(0)
	for c, count := range bucket {
		sum += count
		bucket[c] = sum
	}
}

func fill(sa []int32, v int32) {
	for i := range sa {
		sa[i] = v
	}
}

// A bitmap is a set of small numbers.
type bitmap []uint64

func (b bitmap) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitmap) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }
