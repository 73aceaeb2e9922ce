// Package certs holds the profiles of every X.509 certificate of a provider
// (leap-protocols.md 3, 13.1): what goes into it and how it is checked. It
// makes no keys and keeps none; signing is done by the caller's crypto.Signer.
//
//	profile     key          subject                       life
//	CA          ECDSA P-256  CN "NAME Root CA", O, OU      10 years
//	client CA   ECDSA P-256  the same, " (client …)"       10 years
//	Server      ECDSA P-256  CN first name, SAN all        1 year
//	VPNClient   ECDSA P-256  CN prefix + random, plan      the caller's
//	SMTPClient  RSA 2048     CN mail address               the caller's
//
// Keys for mail are RSA in PKCS#1 because classic clients read nothing else; no
// classic client can use a gateway of ours (docs/divergences.md).
// Every certificate begins at yesterday's midnight UTC, and one for a client
// ends at midnight, so that it does not tell when it was asked for. There is
// no revocation: life is the only limit, besides the fingerprints that a
// provider remembers of SMTP certificates.
package certs
