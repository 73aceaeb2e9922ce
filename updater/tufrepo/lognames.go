package tufrepo

import (
	"strconv"
	"strings"
)

// maxLogFile is how many bytes a file of the log may have.
const maxLogFile = 64 << 10

// logName reports whether a name in a tree is reserved for a transparency log of what
// was signed: log/checkpoint, or log/ROLE.VERSION.proof. There is no such log yet, and
// nobody here could verify its files; so copies are made without them, and a bundle
// that has some is read without them.
func logName(name string) bool {
	rest, ok := strings.CutPrefix(name, "log/")
	if rest == "checkpoint" {
		return ok
	}
	proof, isProof := strings.CutSuffix(rest, ".proof")
	dot := strings.LastIndexByte(proof, '.')
	if !ok || !isProof || dot < 1 || strings.HasPrefix(proof, ".") || strings.ContainsAny(proof, `/\`) {
		return false
	}
	n, err := strconv.ParseInt(proof[dot+1:], 10, 64)
	return err == nil && n > 0 && strconv.FormatInt(n, 10) == proof[dot+1:]
}
