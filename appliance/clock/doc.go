// Package clock keeps a node's clock right, by SNTP (RFC 5905, 14) from the time
// servers of its document, of DHCP where it names none.
//
// # Whom it believes
//
// All servers are asked at once. Each says what the time is and how wrong that
// may be; the largest group whose statements can all be true must be more than
// half of those that answered, or none is believed ([ErrDisagree]). A time before
// the release was built, or twenty years after, is refused whoever says it
// ([ErrImpossible]). SNTP proves nothing about who answers: this bounds what a
// liar can do, and several servers make lying harder.
//
// # What it does
//
// The first time that it learns, it sets the clock at once; certificates, tokens
// and DNSSEC are useless before, so services may wait for it ([Clock.Wait]).
// Later it only makes the clock run a little faster or slower, by at most 1 in
// 2000, so that time never jumps under running services. If it is more than a
// second wrong, and so again five seconds later, the machine was stopped, and
// the clock is set once more.
//
// It asks every 17 minutes; while nobody gives a good answer after 1 s, growing
// to a minute. Where there are no servers, the machine's own clock is believed
// after 15 seconds, unless it is before the release was built.
package clock
