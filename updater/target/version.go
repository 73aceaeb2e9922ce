package target

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// form is that of the versions of releases, which are parts of file names on a
// node's boot partition: numbers with dots, and what comes before the release
// itself behind a ~ (Boot Loader Specification, "Sorting").
var form = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,9}){0,3}(~[a-z0-9]{1,16})?$`)

// CheckVersion reports what is wrong with a version of a node's image or of a
// client: it is numbers with dots, as in 1.4.0, or such with a ~, as in 1.4.0~rc1,
// which is older than 1.4.0.
func CheckVersion(v string) error {
	if !form.MatchString(v) {
		return fmt.Errorf("version %q is not of the form 1.4.0 or 1.4.0~rc1", v)
	}
	return nil
}

// Compare returns -1, 0 or +1 as the version a is older than, the same as, or
// newer than b, in the order of a node's boot loader. A version that is not of
// the form is older than all that are.
func Compare(a, b string) int {
	okA, okB := form.MatchString(a), form.MatchString(b)
	if !okA || !okB {
		return cmp.Compare(one(okA), one(okB))
	}
	a, preA, isPreA := strings.Cut(a, "~")
	b, preB, isPreB := strings.Cut(b, "~")
	numbersA, numbersB := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(numbersA), len(numbersB)) {
		if c := cmp.Compare(number(numbersA, i), number(numbersB, i)); c != 0 {
			return c
		}
	}
	if isPreA && isPreB {
		return cmp.Compare(preA, preB)
	}
	return cmp.Compare(one(isPreB), one(isPreA))
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// number is the i-th of numbers, each of at most nine digits. One that is not
// there is less than 0.
func number(numbers []string, i int) int {
	if i >= len(numbers) {
		return -1
	}
	n, err := strconv.Atoi(numbers[i])
	if err != nil {
		panic(err) // The form was checked.
	}
	return n
}
