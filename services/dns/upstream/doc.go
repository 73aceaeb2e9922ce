// Package upstream asks other resolvers: those of the configuration and, in no
// event, any other.
//
// An upstream is asked by UDP, and again by TCP if its answer was truncated; or
// by TLS (RFC 7858), in the strict profile of RFC 8310: it proves that it is the
// one meant, by a certificate for its name or by its public key, or it is not
// asked. There is no fallback to an unencrypted question.
//
// By UDP every question has its own socket, hence a random port, and a random
// id (RFC 5452, 9). By TLS questions share one connection and do not wait for
// each other; they are padded to multiples of 128 octets (RFC 8467, 4.1), and
// the connection is closed after it was idle. A connection that the other side
// closed is opened anew for the questions that were on their way.
//
// The upstreams are asked in the order of the configuration. One that failed
// some times in a row is asked last for a while, which doubles to a minute.
// Questions carry nothing of who asks: no client subnet, no cookie. Neither the
// log nor an error has a name that was asked for.
package upstream
