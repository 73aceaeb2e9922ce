package relay

import (
	"strings"

	"golang.org/x/net/idna"

	"leap.example/services/protocol/nick"
)

// A mailbox is a recipient in the form in which it is passed on.
type mailbox struct {
	path   string // local@domain, quoted where needed.
	domain string // In A-labels, lower case.
}

// parseMailbox reads a recipient as the SMTP library gives it, without quotes.
// The error is errAddress; address literals are refused too.
func parseMailbox(s string) (mailbox, error) {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || len(s) > 254 {
		return mailbox{}, errAddress
	}
	local, ok := quoted(s[:at])
	domain, err := idna.Lookup.ToASCII(s[at+1:])
	if !ok || err != nil || len(local) > 64 {
		return mailbox{}, errAddress
	}
	a, err := nick.ParseAddress("x@" + domain)
	if err != nil {
		return mailbox{}, errAddress
	}
	return mailbox{local + "@" + a.Domain(), a.Domain()}, nil
}

// quoted returns a local part as RFC 5321, 4.1.2 wants it written: as it is if
// it is a dot-string (RFC 6531, 3.3 allows all beyond ASCII there), else quoted.
func quoted(local string) (string, bool) {
	for _, r := range local {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return "", false
		}
	}
	if dotString(local) {
		return local, true
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`, true
}

func dotString(s string) bool {
	for p := range strings.SplitSeq(s, ".") {
		if p == "" || strings.ContainsAny(p, ` ()<>[]:;@\,"`) {
			return false
		}
	}
	return true
}
