package relay

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"leap.example/services/protocol/smtpline"
)

// dropped are fields that tell where, when and with what a message was written
// and to whom else, or that only servers write.
var dropped = map[string]bool{
	"received": true, "return-path": true, "bcc": true, "resent-bcc": true,
	"user-agent": true, "x-mailer": true, "x-originating-ip": true, "authentication-results": true,
}

func isDropped(f smtpline.Field) bool {
	name := strings.ToLower(f.Name)
	return dropped[name] || strings.HasPrefix(name, "x-leap-")
}

// compose returns the message as it leaves the provider, but for signatures:
// without the fields that stay here, with a Date and a Message-ID, and with a
// Received field that does not name the client.
func compose(h smtpline.Header, body []byte, id, hostname, domain string, now time.Time) []byte {
	var b bytes.Buffer
	now = now.UTC()
	fmt.Fprintf(&b, "Received: by %s with ESMTPSA id %s;\r\n\t%s\r\n", hostname, id, now.Format(time.RFC1123Z))
	if h.Count("Date") == 0 {
		fmt.Fprintf(&b, "Date: %s\r\n", now.Format(time.RFC1123Z))
	}
	if h.Count("Message-ID") == 0 {
		fmt.Fprintf(&b, "Message-ID: <%s@%s>\r\n", rand.Text(), domain)
	}
	for _, part := range [][]byte{h.AppendWithout(nil, isDropped), []byte("\r\n"), body} {
		b.Write(part)
		if !bytes.HasSuffix(b.Bytes(), []byte("\r\n")) {
			b.WriteString("\r\n")
		}
	}
	return b.Bytes()
}
