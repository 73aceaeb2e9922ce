// Package mesh joins a node to the provider's other nodes: a WireGuard device in
// which every node is a peer of every other, with one address each. Services
// speak in clear over it; the mesh encrypts, and a peer is whom its key proves.
//
// [Apply] takes the mesh's part of the node document and the node's private key
// and makes the device so, idempotently: a peer that went is removed, a new one
// added, one that stays is not touched, so that running tunnels survive. The
// endpoint of a peer whose tunnel lives is left where WireGuard has seen it last,
// even if the document names another; it is set once the peer has been silent
// for three minutes.
//
// A peer may use its own address in the mesh and no other: WireGuard drops what
// comes with another source.
//
// The private key is made on the node ([NewKey]), kept by the caller, and leaves
// it for the kernel alone.
package mesh
