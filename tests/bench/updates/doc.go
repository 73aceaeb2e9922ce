// Package updates measures what updates cost: asking for news, a delta between two
// releases of this source that differ by one function, applying it, fetching with
// and without it, and what the client adds to a program. Command bench runs it. What
// a process needs is measured in a process of its own.
package updates
