// Package provider holds the public documents of a provider: provider.json,
// the index of service files, and the files themselves (leap-protocols.md
// 1.2, 1.3). A client reads them before it has an account, so every parser
// treats them as hostile: limits first, then Validate.
//
// provider.json names the CA by fingerprint; CheckFingerprint is what the
// whole trust of a client in its provider rests on.
//
// Ours alone are the optional member nicknym_uri, the transport "wireguard" of
// eip-service.json, and the list of gateways ([GatewayList]), which says more
// than that file: which gateways are healthy, how busy they are, and which one
// is near. Members that are not known are ignored.
package provider
