package certs

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// oidPlan is the extension of a VPN certificate that tells the plan: a
// UTF8String. The arc is the one kept for examples (RFC 5612), as the module's
// name is.
var oidPlan = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 5, 1}

var plans = []lease.Plan{lease.Unlimited, lease.Limited}

// planExtension is not critical: a reader that does not know it looks at the
// common name.
func planExtension(plan lease.Plan) (pkix.Extension, error) {
	value, err := asn1.MarshalWithParams(string(plan), "utf8")
	return pkix.Extension{Id: oidPlan, Value: value}, err
}

// PlanOf returns the plan of a VPN certificate: the extension says it, or, for
// certificates that have none, the common name's prefix (leap-protocols.md
// 3.1). Any other certificate is Permission, also one that its user submits
// mail by: it would tell the gateway who comes.
func PlanOf(cert *x509.Certificate) (lease.Plan, error) {
	if _, ok := AddressOf(cert); ok {
		return "", problem.Permission.Errorf("a certificate for mail opens no VPN: ask for a VPN certificate")
	}
	i := slices.IndexFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidPlan) })
	if i >= 0 {
		for _, plan := range plans {
			if want, err := planExtension(plan); err == nil && bytes.Equal(want.Value, cert.Extensions[i].Value) {
				return plan, nil
			}
		}
		return "", problem.Permission.Errorf("the certificate's plan is not known: ask for a new certificate")
	}
	for _, plan := range plans {
		if strings.HasPrefix(cert.Subject.CommonName, prefix(plan)) {
			return plan, nil
		}
	}
	return "", problem.Permission.Errorf("the certificate has no plan: ask for a VPN certificate")
}

func known(plan lease.Plan) bool { return slices.Contains(plans, plan) }

// prefix begins the common name of a plan's certificates.
func prefix(plan lease.Plan) string { return strings.ToUpper(string(plan)) }
