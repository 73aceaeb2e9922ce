package efi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Release is what an image says of itself, in a file of its own file system.
type Release struct {
	Version string `json:"version"` // See [CheckVersion].
	// The oldest and the newest schema of node documents that it reads.
	OldestSchema int `json:"oldest_schema"`
	NewestSchema int `json:"newest_schema"`
	// When its source was last changed: no clock of a node that runs it can be
	// earlier. It is given to whoever makes the release, so that all make the same.
	Built time.Time `json:"built"`
	// What a machine must have for it to start, in MiB.
	LeastRAM int `json:"least_ram_mib"`
}

// ParseRelease reads a release strictly.
func ParseRelease(data []byte) (Release, error) {
	var r Release
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Release{}, fmt.Errorf("release: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Release{}, errors.New("release: data behind the object")
	}
	if err := r.Validate(); err != nil {
		return Release{}, err
	}
	return r, nil
}

// Validate reports what is missing or contradicts itself.
func (r Release) Validate() error {
	if err := CheckVersion(r.Version); err != nil {
		return err
	}
	if r.OldestSchema < 1 || r.NewestSchema < r.OldestSchema {
		return fmt.Errorf("release: schemas %d to %d", r.OldestSchema, r.NewestSchema)
	}
	if r.Built.IsZero() {
		return errors.New("release: no time at which it was built")
	}
	if r.LeastRAM < 1 {
		return fmt.Errorf("release: a least RAM of %d MiB", r.LeastRAM)
	}
	return nil
}

// A version is a part of a file name in which + has a meaning, and the boot
// loader sorts by it: numbers with dots, and what comes before the release
// itself behind a ~ (Boot Loader Specification, "Sorting").
var version = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,9}){0,3}(~[a-z0-9]{1,16})?$`)

// CheckVersion reports what is wrong with a version: it is numbers with dots,
// as in 1.4.0, or such with a ~, as in 1.4.0~rc1, which is older than 1.4.0.
func CheckVersion(v string) error {
	if !version.MatchString(v) {
		return fmt.Errorf("version %q is not of the form 1.4.0 or 1.4.0~rc1", v)
	}
	return nil
}

// Compare returns -1, 0 or +1 as the version a is older than, the same as, or
// newer than b: in the order in which the boot loader sorts them. A version that
// is not of the form is older than all that are.
func Compare(a, b string) int {
	okA, okB := version.MatchString(a), version.MatchString(b)
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
