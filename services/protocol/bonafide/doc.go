// Package bonafide is the vocabulary of the account API that webapp serves
// and client/session calls: requests, answers, their limits, login names,
// tokens and error bodies (leap-protocols.md 1.4-1.8, 2; client.md 6).
//
// Requests travel as forms (user[login]=alice, what Encode writes) or as JSON
// ({"user":{"login":"alice"}}); both are decoded to the same structs. Answers
// are JSON. A request that names no suite comes from a classic client and
// means leap-1024. Members that are not known are ignored, as they always
// were; those that are known are checked here, and what is wrong with them is
// a FieldErrors.
//
// Errors keep the bodies of the original API. ErrorOf writes and ParseError
// reads them, so that a problem.Kind survives the wire.
//
// The package trusts nothing it decodes: bodies, fields and names have
// limits. It does not know whether an account exists or a token is good.
package bonafide
