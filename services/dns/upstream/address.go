package upstream

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// An Address says where an upstream is and how it is asked.
type Address struct {
	Addr netip.AddrPort
	TLS  bool
	Name string              // By which it proves itself in TLS; empty if only by a key.
	Pins [][sha256.Size]byte // Of its public keys, one of which it has; empty: any that a certificate for Name has.
}

const form = `write "192.0.2.1:53", "tls://dns.example@192.0.2.1:853" or "tls://192.0.2.1:853#PIN", where PIN is the base64 of the SHA-256 of its public key`

// Parse reads an address: IP:PORT for UDP and TCP; tls://NAME@IP:PORT,
// tls://IP:PORT#PIN or tls://NAME@IP:PORT#PIN,PIN for TLS.
func Parse(text string) (Address, error) {
	rest, secure := strings.CutPrefix(text, "tls://")
	a := Address{TLS: secure}
	rest, pins, pinned := strings.Cut(rest, "#")
	if before, after, named := strings.Cut(rest, "@"); named {
		a.Name, rest = strings.TrimSuffix(strings.ToLower(before), "."), after
		if _, ok := dns.IsDomainName(a.Name); !ok || a.Name == "" || strings.ContainsAny(a.Name, `/\: `) {
			return a, fmt.Errorf("upstream %q: %q is no host name: %s", text, before, form)
		}
	}
	var err error
	if a.Addr, err = netip.ParseAddrPort(rest); err != nil || a.Addr.Port() == 0 || a.Addr.Addr().Zone() != "" {
		return a, fmt.Errorf("upstream %q has no IP address and port: %s", text, form)
	}
	if !secure && (a.Name != "" || pinned) {
		return a, fmt.Errorf("upstream %q: a name or a pin is for TLS alone: %s", text, form)
	}
	if secure && a.Name == "" && !pinned {
		return a, fmt.Errorf("upstream %q has neither name nor pin, so that anybody could answer in its place: %s", text, form)
	}
	if !pinned {
		return a, nil
	}
	for pin := range strings.SplitSeq(pins, ",") {
		b, err := base64.StdEncoding.Strict().DecodeString(pin)
		if err != nil || len(b) != sha256.Size {
			return a, fmt.Errorf("upstream %q: pin %q is not the base64 of 32 octets: %s", text, pin, form)
		}
		a.Pins = append(a.Pins, [sha256.Size]byte(b))
	}
	return a, nil
}

// String returns what Parse reads, without pins.
func (a Address) String() string {
	switch {
	case !a.TLS:
		return a.Addr.String()
	case a.Name == "":
		return "tls://" + a.Addr.String()
	}
	return "tls://" + a.Name + "@" + a.Addr.String()
}
