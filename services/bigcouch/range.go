package bigcouch

import (
	"strconv"
	"strings"
)

// parseRange reads a Range header for something of size bytes: the first and
// the last byte. A header that is not one range of bytes asks for everything.
func parseRange(header string, size int64) (first, last int64, partial bool, err error) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return 0, size - 1, false, nil
	}
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || from == "" && to == "" {
		return 0, 0, false, errRange
	}
	number := func(s string, missing int64) int64 {
		if s == "" {
			return missing
		}
		n, e := strconv.ParseUint(s, 10, 62)
		if e != nil {
			err = errRange
		}
		return int64(n)
	}
	if from == "" { // The last so many.
		n := number(to, 0)
		first, last = max(0, size-n), size-1
	} else {
		first, last = number(from, 0), min(number(to, size-1), size-1)
	}
	if err != nil || first > last {
		return 0, 0, false, errRange
	}
	return first, last, true, nil
}
