// Package transport carries a tunnel's datagrams to its gateway: by UDP, or
// framed in a TLS 1.3 connection ("udp2tcp", services/protocol/lease) where a
// network lets nothing else pass.
//
// A Stream is such a connection. It connects by itself, again and again, until
// it is closed; datagrams that meet no connection wait for a moment and are
// then dropped, as a network drops them. A Bind is wireguard-go's socket with
// both ways in it: Route changes the way without touching the device, so that
// connections in the tunnel live through it.
//
// The TLS connection hides the tunnel from the network; what is in it is
// authenticated and encrypted by WireGuard. It is made to the certificate of
// the gateway, verified by the provider's CA alone, so that nobody in between
// can take it for a tunnel and answer.
package transport
