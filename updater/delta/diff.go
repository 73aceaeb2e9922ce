package delta

import "context"

// A record says how the next bytes of the new file are made: copied of them from
// from on in the old one, with differences, and then extra ones.
type record struct {
	from, copied, extra int
}

// long is how long a match is before it is believed to be the longest also of
// what begins inside it. It bounds the time that is spent on files that repeat
// themselves.
const long = 1024

// A differ compares two files. It is bsdiff's loop: a match counts when it is more
// than 8 bytes longer than what going on as before would give, and is then grown
// in both directions as long as more than half of the bytes are equal.
type differ struct {
	old, new []byte
	index    *index
}

// records calls emit for each record in order, until it fails or ctx ends.
func (d *differ) records(ctx context.Context, emit func(at int, r record) error) error {
	var scan, pos, n int            // Where in the new file, and the match: where in the old one, and its length.
	var lastScan, lastPos, last int // The match before, and how far the files are apart in it.
	for scan < len(d.new) {
		scan += n
		n = 0
		score := 0 // How many bytes of the match are equal if it went on as before.
		for counted := scan; scan < len(d.new); scan++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			if n > long {
				pos, n = pos+1, n-1
			} else {
				pos, n = d.index.longest(d.new[scan:])
			}
			for ; counted < scan+n; counted++ {
				score += d.equal(counted+last, counted)
			}
			if n == score && n != 0 || n > score+8 {
				break
			}
			score -= d.equal(scan+last, scan)
		}
		if n == score && scan < len(d.new) {
			continue
		}
		forward := d.forward(lastScan, lastPos, scan)
		back := 0
		if scan < len(d.new) {
			back = d.backward(lastScan, scan, pos)
		}
		if overlap := lastScan + forward - (scan - back); overlap > 0 {
			keep := d.split(lastScan+forward-overlap, lastPos+forward-overlap, scan-back, pos-back, overlap)
			forward += keep - overlap
			back -= keep
		}
		if r := (record{lastPos, forward, scan - back - (lastScan + forward)}); r.copied+r.extra > 0 {
			if err := emit(lastScan, r); err != nil {
				return err
			}
		}
		lastScan, lastPos, last = scan-back, pos-back, pos-scan
	}
	return nil
}

// equal is 1 if the files have the same byte at these places, else 0.
func (d *differ) equal(old, at int) int {
	if old >= 0 && old < len(d.old) && d.old[old] == d.new[at] {
		return 1
	}
	return 0
}

// forward is how far the match at lastScan is grown towards scan.
func (d *differ) forward(lastScan, lastPos, scan int) (n int) {
	same, best := 0, 0
	for i := 0; lastScan+i < scan && lastPos+i < len(d.old); {
		same += d.equal(lastPos+i, lastScan+i)
		i++
		if same*2-i > best*2-n {
			best, n = same, i
		}
	}
	return n
}

// backward is how far the match at scan is grown back towards lastScan.
func (d *differ) backward(lastScan, scan, pos int) (n int) {
	same, best := 0, 0
	for i := 1; scan >= lastScan+i && pos >= i; i++ {
		same += d.equal(pos-i, scan-i)
		if same*2-i > best*2-n {
			best, n = same, i
		}
	}
	return n
}

// split returns how much of what two matches cover, at these places of the new and
// the old file, is better left to the first one.
func (d *differ) split(scan1, pos1, scan2, pos2, overlap int) (n int) {
	gain, best := 0, 0
	for i := range overlap {
		gain += d.equal(pos1+i, scan1+i) - d.equal(pos2+i, scan2+i)
		if gain > best {
			best, n = gain, i+1
		}
	}
	return n
}
