// Package spread is the arithmetic of databases in several parts: which part a
// document belongs to, sequences that say how far each part has been read, and
// lists that are merged from those of the parts.
//
// It knows neither requests nor stores. Everything it reads is what parts have
// written, except sequences, which clients bring back.
package spread
