// Package smtpline is what both mail servers of a provider, services/mx and
// services/relay, demand of whoever talks SMTP to them, beyond what an SMTP
// library demands: strict lines, one sound header, whole data, moderate use.
//
// Strict lines: [Reader] passes on the octets of a message and refuses a CR or
// an LF alone and NUL. A server that takes them in and sends them on lets a
// sender smuggle a second message past it, because the next server may see an
// end of data there (RFC 5321, 2.3.8 and 4.1.1.4). It also bounds lines, header
// and size.
//
// One sound header: [ParseHeader] splits a message into fields, each with its
// octets as they came, so that what is passed on is what was signed; a line
// that is neither field nor continuation is refused, because programs do not
// agree on where such a header ends. [Header.Author] is the one address of the
// one From field.
//
// Whole data: with BDAT (RFC 3030) a message ends where a count says. [Records]
// tells from outside of TLS whether the last thing that a peer sent may have
// been its goodbye, the sign of a chunk that was cut short.
//
// Moderate use: a [Meter] allows so many events in so much time to each of its
// keys: connections and mistakes of a [Network], messages of a user.
//
// Everything is arithmetic on bytes and times that the caller brings.
package smtpline
